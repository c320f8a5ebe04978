# One image for the API server and the indexer: the command decides.
# The Python that the tests run on.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
COPY requirements/uv.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/uv.txt && python -m venv --without-pip /opt/catalog
# Before the code, so that a change of code does not fetch the packages again.
COPY requirements/runtime.txt requirements/
RUN uv pip sync --no-cache --python /opt/catalog/bin/python --require-hashes requirements/runtime.txt
COPY requirements/local.txt requirements/
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY indexer indexer
COPY vocabularies vocabularies
# What builds the wheel is held by hash too; local.txt pins it.
RUN uv build --no-cache --wheel --out-dir dist --build-constraints requirements/local.txt --require-hashes \
    && uv pip install --no-cache --python /opt/catalog/bin/python --no-deps dist/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="science-catalog" \
      org.opencontainers.image.description="A metadata catalog and search service for scientific objects" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing is installed into a running image.
RUN python -m pip uninstall --yes --quiet pip setuptools wheel \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin catalog
COPY --from=build /opt/catalog /opt/catalog
ENV PATH=/opt/catalog/bin:${PATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
# The process answers; whether its engines do is asked at /readyz. An indexer has no port: give it its own check.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["catalog", "serve", "--host", "0.0.0.0"]
