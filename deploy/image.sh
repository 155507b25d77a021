#!/usr/bin/env bash
# Builds the Dockerfile where no Docker engine runs: as root, with Debian's buildah and debootstrap.
#
#   deploy/image.sh predictor    prints the id of the image that it built, and tags it
#   deploy/image.sh trainer      localhost/mlflow-hotswap-predictor or localhost/mlflow-hotswap-trainer
#
# What follows the target goes to `buildah build`, e.g. --build-arg REQUIREMENTS=….
# The base image is made here, once, from debootstrap's own mirror or another (MIRROR=, SUITE=). It
# knows the certificates and pip settings of this machine, so that a build reaches the package index
# that this machine uses.
# buildah's own storage keeps it and every layer: what has not changed is not built again.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:?usage: deploy/image.sh predictor|trainer [option of buildah build …]}
shift
suite=${SUITE:-bookworm}
certificates=/etc/ssl/certs/ca-certificates.crt
export BUILDAH_ISOLATION=chroot

for program in buildah debootstrap; do
  command -v "$program" >/dev/null || { echo "$program is missing: apt-get install buildah debootstrap" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "only root can build without an engine; elsewhere: docker build --target $target ." >&2; exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One at a time: two that begin together would make the base twice.
exec 9>"${TMPDIR:-/tmp}/mlflow-hotswap-image.lock"
flock 9

# Named after what goes into it: another suite or other certificates make another one.
key=$(cat "$certificates" /etc/pip.conf 2>/dev/null <(echo "$suite") | sha256sum | cut -c1-12)
base=localhost/mlflow-hotswap-base:$suite-$key
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  echo "Making $base with debootstrap" >&2
  root=$scratch/root
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
    "$suite" "$root" ${MIRROR:+"$MIRROR"} >"$scratch/log" 2>&1 || { tail -20 "$scratch/log" >&2; exit 1; }
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  cp "$certificates" "$root$certificates"
  [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" / >/dev/null
  buildah config --env SSL_CERT_FILE=$certificates --env PIP_CERT=$certificates --cmd /bin/sh "$container"
  buildah commit --quiet --rm "$container" "$base" >/dev/null
fi

# Docker's format: OCI's knows no health check. The revision is not an argument of the build here,
# because buildah finds a label in its cache whatever the argument in it was.
buildah build --quiet --layers --format docker --target "$target" --tag "localhost/mlflow-hotswap-$target" \
  --build-arg BASE_IMAGE="$base" --label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || true)" "$@" .
