# callbot's image: `docker build -t callbot .`, or `make image`. deploy.sh has Cloud Build make it.
#
# Slim rather than Alpine: the wheels need glibc (cryptography's at least 2.34). Pin it by digest in production:
#   --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN ["python3", "-m", "venv", "/opt/venv"]
WORKDIR /build
COPY requirements.lock ./
# Wheels whose hashes are in the lock, and nothing else: no compiler runs, nothing is resolved. libsamplerate comes inside
# samplerate's wheel and needs only libc, libm, libstdc++ and libgcc_s, which slim has; the last line proves that it loads.
# pip has done its work then and goes.
RUN /opt/venv/bin/python -m pip install --no-compile --require-hashes --no-deps --only-binary :all: -r requirements.lock \
    && /opt/venv/bin/python -m pip uninstall --yes --quiet pip \
    && /opt/venv/bin/python -c "import samplerate; samplerate.Resampler('sinc_medium', channels=1)"
COPY callbot/ /app/callbot/
# Compiled here, because the running container cannot write: start-up spends no time on it. By hash and never looked at
# again, so that a copy with other file times is still taken. Not what is never loaded: 30 MB of Twilio's REST classes and of
# other people's tests.
RUN ["/opt/venv/bin/python", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", \
     "-x", "/(tests|twilio/rest)/", "/opt/venv/lib", "/app"]

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8080
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# By number, so that a platform which forbids root can see that it is none. Nothing in the image belongs to this user.
USER 10001:10001
EXPOSE 8080
# For Docker and Compose; Cloud Run has its own probes (deploy.sh) and leaves this alone.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=2)"]
# Python is process 1 and gets the signals: no shell, no init.
CMD ["python", "-m", "callbot", "serve"]
