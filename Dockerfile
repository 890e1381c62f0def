# reflexd as it runs beside a CRM: no development dependency, no root, no build tools in the last stage.
# The embedded MongoDB is for trying things out and is not part of the image: set MONGODB_URI.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/reflexd
COPY requirements.lock ./
RUN /opt/reflexd/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
COPY requirements-build.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements-build.lock
COPY config config
COPY rules rules
COPY actions actions
COPY daemon daemon
RUN /opt/build/bin/python -m hatchling build -t wheel \
    && /opt/reflexd/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/reflexd/bin/python -m compileall -q /opt/reflexd/lib

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="reflexd" \
      org.opencontainers.image.description="MongoDB change-stream daemon that runs a CRM's if-then workflows"
ENV PATH=/opt/reflexd/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 REFLEXD_LOG_FORMAT=json
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin reflexd
COPY --from=build /opt/reflexd /opt/reflexd
USER 10001
# Nobody but root may write there: what lies in the working directory is read (.env).
WORKDIR /
# SIGTERM hands the work over; give the container longer than REFLEXD_GRACE_S before it is killed.
STOPSIGNAL SIGTERM
ENTRYPOINT ["reflexd"]
CMD ["run"]
