/**
 * The arrows of the architecture (docs/architecture.md, "Rooms"): each room may import only what stands
 * below it. A new folder under src/ must be given its place here.
 */
const rooms = {
  base: [],
  http: ['base'],
  config: ['base'],
  store: ['base'],
  registry: ['base', 'http'],
  'p2p/protocol': ['base'],
  'p2p/supernode': ['base', 'http', 'p2p/protocol'],
  'p2p/peer': ['base', 'http', 'store', 'registry', 'p2p/protocol'],
  dashboard: ['base', 'p2p/protocol', 'p2p/supernode'],
  proxy: ['base', 'http', 'store', 'registry', 'p2p/peer'],
  files: ['base', 'http', 'registry', 'p2p/peer'],
  app: [
    'base',
    'http',
    'config',
    'store',
    'registry',
    'p2p/protocol',
    'p2p/supernode',
    'p2p/peer',
    'proxy',
    'files',
    'dashboard',
  ],
  doctor: ['base', 'config', 'store', 'registry', 'p2p/protocol', 'p2p/peer', 'app'],
  setup: ['base', 'config', 'registry', 'doctor'],
  cli: ['base', 'config', 'app', 'registry', 'files', 'proxy', 'doctor', 'setup'],
};
const path = (room) => `^src/${room}/`;
const fence = Object.entries(rooms).map(([room, below]) => ({
  name: `arrow-${room}`,
  severity: 'error',
  comment: `src/${room} may import only: ${[room, ...below].join(', ')}`,
  from: { path: path(room) },
  to: { path: '^src/', pathNot: [room, ...below].map(path) },
}));

module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'main-only-cli',
      severity: 'error',
      from: { path: '^src/main' },
      to: { path: '^src/', pathNot: '^src/(cli|base)/' },
    },
    { name: 'src-needs-no-test', severity: 'error', from: { path: '^src/' }, to: { path: '^(test|scripts)/' } },
    {
      name: 'placed',
      severity: 'error',
      comment: 'a folder of src without a place in the arrows',
      from: { path: '^src/', pathNot: ['^src/main\\.ts$', ...Object.keys(rooms).map(path)] },
      to: {},
    },
    { name: 'no-dev-dependency', severity: 'error', from: { path: '^src/' }, to: { dependencyTypes: ['npm-dev'] } },
    ...fence,
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
