# Warmfront in two stages: one that builds, one that only runs.
# docker build -t warmfront . && docker run -p 8080:8080 \
#   -v "$PWD/warmfront.yaml:/etc/warmfront/warmfront.yaml:ro" warmfront

# The same Python as below, with the compiler that the accelerator wants.
FROM python:3.11 AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY proxy ./proxy
RUN python -m venv /opt/warmfront
RUN /opt/warmfront/bin/pip install --no-cache-dir .

FROM python:3.11-slim
RUN useradd --system --no-create-home --shell /usr/sbin/nologin warmfront
COPY --from=build /opt/warmfront /opt/warmfront
ENV PATH=/opt/warmfront/bin:$PATH PYTHONUNBUFFERED=1
USER warmfront
EXPOSE 8080
STOPSIGNAL SIGTERM

# Max-Forwards: 0 is for Warmfront itself to answer, so the API's own health stays out of it: one
# that is down or slow is not mended by restarting its cache. With `tls`, give a check of your own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8080, timeout=2); c.request('OPTIONS', '*', headers={'Max-Forwards': '0'}); exit(c.getresponse().status != 200)"]

# --listen: inside a container, loopback would be reachable from nowhere.
CMD ["warmfront", "run", "--config", "/etc/warmfront/warmfront.yaml", "--listen", "0.0.0.0:8080"]
