# One image, one command per service: python -m services.<discovery|analysis|recovery|consensus>.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --quiet uv==0.13.8
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY protos protos
ENV UV_PROJECT_ENVIRONMENT=/opt/primacy UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
RUN /opt/uv/bin/uv sync --quiet --locked --no-dev --no-install-project
COPY services services
RUN /opt/uv/bin/uv sync --quiet --locked --no-dev --no-editable && /opt/primacy/bin/python -m compileall -q /opt/primacy/lib

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --home-dir /var/lib/primacy --create-home primacy
COPY --from=build /opt/primacy /opt/primacy
ENV PATH=/opt/primacy/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER primacy
WORKDIR /var/lib/primacy
VOLUME /var/lib/primacy
CMD ["primacy", "--help"]
