# Two images from one file: `predictor` (the default), which serves, and `trainer`, which trains,
# promotes, and runs MLflow's server.
#
#   docker build --target predictor --tag mlflow-hotswap-predictor .
#
# BASE_IMAGE can be any Debian with Python 3.11 or later, its venv module and CA certificates.
# The tag names a version. For production, append "@" and the digest that your registry shows.
ARG BASE_IMAGE=docker.io/library/python:3.13.9-slim-bookworm

# uv, pinned with its hashes.
FROM ${BASE_IMAGE} AS uv
COPY requirements/uv.txt /requirements/
RUN python3 -m venv /uv \
 && /uv/bin/python -m pip install --no-cache-dir --require-hashes --requirement /requirements/uv.txt

# An environment for each image, with pinned requirements. Bytecode is compiled here, because a container cannot
# write to its code folder; it is not compared with the sources, which never change in an image. The libraries'
# tests are removed: 17 MB, compared with 180 MB for serving.
FROM uv AS predictor-environment
COPY requirements/predictor.txt /requirements/
RUN python3 -m venv --without-pip /venv \
 && /uv/bin/uv pip sync --no-cache --python /venv/bin/python --require-hashes /requirements/predictor.txt
# Extras of pyproject.toml for serving: EXTRAS="grpc traces s3". extras.txt pins the packages of all of them.
ARG EXTRAS=
COPY pyproject.toml requirements/extras.txt /requirements/
RUN for extra in $(echo "$EXTRAS" | tr , ' '); do set -- "$@" --extra "$extra"; done \
 && { [ $# = 0 ] || /uv/bin/uv pip install --no-cache --python /venv/bin/python --require-hashes \
      --requirement /requirements/pyproject.toml "$@" --constraint /requirements/extras.txt; } \
 && rm /venv/.lock \
 && find /venv/lib -depth -type d -name tests -exec rm -r {} + \
 && /venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib
COPY approvals /app/approvals
COPY fleet /app/fleet
COPY predictor /app/predictor
RUN /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM uv AS trainer-environment
COPY requirements/trainer.txt /requirements/installed.txt
RUN python3 -m venv --without-pip /venv \
 && /uv/bin/uv pip sync --no-cache --python /venv/bin/python --require-hashes /requirements/installed.txt
# Extras of pyproject.toml for training: EXTRAS="lightgbm optuna".
ARG EXTRAS=
COPY pyproject.toml requirements/trainer-extras.txt /requirements/
RUN for extra in $(echo "$EXTRAS" | tr , ' '); do set -- "$@" --extra "$extra"; done \
 && { [ $# = 0 ] || /uv/bin/uv pip install --no-cache --python /venv/bin/python --require-hashes \
      --requirement /requirements/pyproject.toml "$@" --constraint /requirements/trainer-extras.txt; } \
 && rm /venv/.lock \
 && /venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib
COPY approvals /app/approvals
COPY fleet /app/fleet
COPY exporters /app/exporters
COPY trainer /app/trainer
RUN /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

# The base of both images: its own user, and no installer.
FROM ${BASE_IMAGE} AS runtime
RUN groupadd --gid 10001 hotswap \
 && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin hotswap \
 && { ! python3 -m pip --version >/dev/null 2>&1 || python3 -m pip uninstall --yes --quiet --root-user-action ignore pip; } \
 && rm -rf /usr/share/python-wheels "$(python3 -c 'import ensurepip; print(ensurepip.__path__[0])')"
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY LICENSE ./
STOPSIGNAL SIGTERM
# The version of the package (predictor/__init__.py), the commit, and the address of the source.
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.source=$SOURCE \
      org.opencontainers.image.licenses=Apache-2.0

FROM runtime AS trainer
LABEL org.opencontainers.image.title="mlflow-hotswap trainer" \
      org.opencontainers.image.description="Trains, compares and promotes versions; has MLflow's server"
COPY --from=trainer-environment /venv /venv
COPY --from=trainer-environment /app /app
# The import compiles modules of Python's library for which the base image has no bytecode. LightGBM looks for GNU's
# OpenMP in the system; scikit-learn brings it.
RUN PYTHONDONTWRITEBYTECODE= python -c 'import mlflow.cli, mlflow.server, trainer.cli, trainer.registry_commands, trainer.train_command' \
 && ln -s /venv/lib/python3*/site-packages/scikit_learn.libs/libgomp-*.so* /usr/lib/libgomp.so.1 \
 && install --directory --owner 10001 --group 10001 /var/lib/mlflow
ENV MLFLOW_DISABLE_TELEMETRY=true \
    GIT_PYTHON_REFRESH=quiet \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
ENTRYPOINT ["python", "-m", "trainer"]
CMD ["--help"]

FROM runtime AS predictor
LABEL org.opencontainers.image.title="mlflow-hotswap predictor" \
      org.opencontainers.image.description="Serves the version that MLflow's registry names, and swaps with no request lost"
COPY --from=predictor-environment /venv /venv
COPY --from=predictor-environment /app /app
# The import is as above. The folder is for a volume: with its cache, a service starts without its registry.
# Models with text features need the locale en_US.UTF-8 by name, to convert upper and lower case. C.UTF-8, which
# every Debian has, converts in the same way, so a link is enough.
RUN PYTHONDONTWRITEBYTECODE= python -c 'import predictor.cli, predictor.service, predictor.healthcheck, predictor.workers.supervisor, predictor.workers.worker' \
 && { [ -e /usr/lib/locale/en_US.utf8 ] || ln -s C.utf8 /usr/lib/locale/en_US.utf8; } \
 && python -c 'import locale; locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")' \
 && install --directory --owner 10001 --group 10001 /var/cache/mlflow-hotswap
ENV PREDICTOR_HOST=0.0.0.0 \
    PREDICTOR_CACHE_DIR=/var/cache/mlflow-hotswap
# 9000 is for gRPC: build with EXTRAS=grpc and set PREDICTOR_GRPC_PORT=9000.
EXPOSE 8000 9000
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-m", "predictor.healthcheck"]
ENTRYPOINT ["python", "-m", "predictor"]
