#!/usr/bin/env bash
# Builds the Dockerfile without a Docker engine: as root, with Debian's buildah and debootstrap.
#
#   deploy/image.sh predictor    prints the id of the image, and tags it
#   deploy/image.sh trainer      localhost/mlflow-hotswap-predictor or localhost/mlflow-hotswap-trainer
#
# Further arguments are passed to `buildah build`, such as --build-arg EXTRAS="grpc traces" (for a trainer
# EXTRAS="lightgbm optuna"). TAG= names the image.
# The script makes the base image once, from debootstrap's mirror or another (MIRROR=, SUITE=), with the
# certificates and pip settings of this machine, so that a build can reach this machine's package index.
# buildah's storage keeps it and every layer: unchanged layers are not built again.
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

# One build at a time: two builds at once would make the base image twice.
exec 9>"${TMPDIR:-/tmp}/mlflow-hotswap-image.lock"
flock 9

# The name contains a hash of its inputs: another suite or other certificates make another image.
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

# Docker's format, because OCI's has no health check. The revision and the source are labels and not arguments of
# the build, because buildah's cache ignores the value of an argument in a label.
buildah build --quiet --layers --format docker --target "$target" --tag "${TAG:-localhost/mlflow-hotswap-$target}" \
  --build-arg BASE_IMAGE="$base" --label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || true)" \
  --label "org.opencontainers.image.source=${PROJECT_SOURCE:-}" "$@" .
