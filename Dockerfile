# Hawker's image, built from the lock file:
#
#   docker build --tag hawker .
#   docker run --network host --volume hawker:/var/lib/hawker hawker
#
# Hawker listens on loopback alone unless its configuration says otherwise, so the host's network is what makes it the mirror
# of this node: 127.0.0.1:65001 the mirror, 127.0.0.1:65003 its API, /metrics, /livez and /readyz. Options are given as
# arguments (`hawker up --help`), as HAWKER_* variables, or in a file: --volume "$PWD/hawker.yaml:/etc/hawker.yaml:ro" and
# `up --config /etc/hawker.yaml`.

FROM node:20-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.base.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && npm ci --omit=dev --ignore-scripts

FROM node:20-bookworm-slim
ENV NODE_ENV=production HAWKER_STORE_DIR=/var/lib/hawker
WORKDIR /opt/hawker
COPY LICENSE package.json ./
COPY config ./config
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
# A volume takes over the owner of the folder that it covers: the service need not be root to write to it.
RUN install --directory --owner=node --group=node --mode=0700 /var/lib/hawker
USER node
VOLUME /var/lib/hawker
EXPOSE 65001 65002 65003 6789
HEALTHCHECK --start-period=10s CMD ["node", "-e", "fetch('http://127.0.0.1:65003/livez').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/opt/hawker/dist/main.js"]
CMD ["up"]
