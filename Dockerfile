# Hawker's image, built from the lock file:
#
#   docker build --tag hawker .
#   docker run --network host --volume hawker:/var/lib/hawker hawker
#
# Hawker listens on loopback alone unless its configuration says otherwise, so the host's network is what makes it the mirror
# of this node: 127.0.0.1:65001 the mirror, 127.0.0.1:65003 its API, /metrics, /livez and /readyz. Options are given as
# arguments (`hawker up --help`), as HAWKER_* variables, or in a file: --volume "$PWD/hawker.yaml:/etc/hawker/hawker.yaml:ro" and
# `up --config /etc/hawker/hawker.yaml`. It runs as user 65532, writes to /var/lib/hawker alone (so --read-only and --cap-drop ALL do
# it no harm), and has no shell. Another base needs the C++ library, and nothing else: --build-arg BASE=…
ARG BUILD=node:20-bookworm-slim
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.base.json tsconfig.build.json ./
COPY src ./src
# What is left is what runs: no packages for development, no types, no maps of sources.
RUN npm run build && npm prune --omit=dev --ignore-scripts \
  && find dist node_modules -type f '(' -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' ')' -delete
COPY LICENSE ./
COPY config ./config
# As it lies in the image: the program with what it needs to run, Node itself, and the store's directory.
RUN mkdir -p /image/usr/local/bin /image/opt/hawker /state/hawker \
  && cp "$(node --print process.execPath)" /image/usr/local/bin/node \
  && cp -R package.json LICENSE config dist node_modules /image/opt/hawker/ \
  && chmod 0700 /state/hawker

FROM ${BASE}
ENV NODE_ENV=production HAWKER_STORE_DIR=/var/lib/hawker PATH=/usr/local/bin:/usr/bin:/bin
COPY --from=build /image/ /
# A volume takes over the owner of the folder that it covers: the service need not be root to write to it.
COPY --from=build --chown=65532:65532 /state/ /var/lib/
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
WORKDIR /opt/hawker
VOLUME /var/lib/hawker
EXPOSE 65001 65002 65003 6789
# The API of a proxy, or a supernode's, which may speak TLS, by a certificate that has another name than this.
HEALTHCHECK --start-period=10s CMD ["node", "--no-warnings", "--eval", "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; Promise.any(['http://127.0.0.1:65003', 'http://127.0.0.1:6789', 'https://127.0.0.1:6789'].map(async (url) => { if (!(await fetch(url + '/livez')).ok) throw url; })).then(() => process.exit(0), () => process.exit(1))"]
ENTRYPOINT ["node", "/opt/hawker/dist/main.js"]
CMD ["up"]
