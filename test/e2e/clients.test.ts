/**
 * The five clients that people use pull real images through the mirror: cold, warm, with the origin gone, and after a restart.
 * Invariants I1 (each byte is hashed where it arrived) and I3 (one copy from the origin).
 */
import t, { type Test } from 'tap';
import { allClients, CLIENT_PROGRAMS, ORIGIN_PROGRAMS } from './support/clients/all.ts';
import type { Client } from './support/clients/client.ts';
import { Hawker, SECOND_UPSTREAM } from './support/hawker.ts';
import { publishImage, publishIndex, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { Relay } from './support/relay.ts';
import { e2e, type Rig } from './support/rig.ts';

const PROGRAMS = [...ORIGIN_PROGRAMS, ...CLIENT_PROGRAMS];

async function originWithImages(rig: Rig) {
  const origin = await Origin.start(rig);
  const images = [await publishImage(rig, origin), await publishIndex(rig, origin)];
  const relay = await Relay.start(origin.url);
  rig.onClose(() => relay.close());
  return { images, relay };
}

/** Pulls each image with each client, one after the other. */
async function pullAll(t: Test, when: string, clients: Client[], images: Published[], host = 'docker.io') {
  for (const client of clients) {
    for (const image of images) {
      const arrived = await client.pull(image, host);
      t.same(arrived, client.expected(image), `${client.name} has ${host}/${image.repository} whole: ${when}`);
    }
  }
}

/** Each blob and manifest has left the origin once, and nothing else of size. */
function checkOneCopy(t: Test, relay: Relay, images: Published[], when: string) {
  const blobs = new Map(images.flatMap((image) => image.images.flatMap((one) => [...one.blobs])));
  for (const [digest, size] of blobs) {
    t.equal(relay.gets(`/blobs/${digest}`).length, 1, `${digest} (${size} bytes) was read once: ${when}`);
    t.equal(relay.bytesOf(`/blobs/${digest}`), size, `${digest}: no byte of it twice: ${when}`);
  }
  const manifests = images.flatMap(({ digest, images }) => [digest, ...images.map(({ manifest }) => manifest.digest)]);
  for (const digest of new Set(manifests)) {
    t.equal(relay.gets(`/manifests/${digest}`).length, 1, `manifest ${digest} was read once: ${when}`);
  }
  const byTag = relay.gets('/manifests/').filter(({ path }) => !path.includes('/manifests/sha256'));
  t.same(byTag, [], `tags are asked for by HEAD, which Docker Hub does not count: ${when}`);
}

e2e(t, 'five clients at once, then again, then without the origin', PROGRAMS, async (t, rig) => {
  const { images, relay } = await originWithImages(rig);
  const hawker = await Hawker.start(rig, 'hawker', relay.url);
  const clients = await allClients(rig, hawker);

  await Promise.all(clients.map((client) => pullAll(t, 'cold, all at once', [client], images)));
  checkOneCopy(t, relay, images, 'cold, all at once');

  const cold = relay.bytesOf('');
  await pullAll(t, 'warm', clients, images);
  t.equal(relay.bytesOf(''), cold, 'a warm pull takes no body from the origin');

  const others = clients.filter(({ anyRegistry }) => anyRegistry);
  await pullAll(t, 'by a second name', others, images, SECOND_UPSTREAM);
  t.equal(relay.bytesOf('/blobs/'), blobBytes(images), 'the same content under another name is not read again');

  await relay.down();
  await pullAll(t, 'origin stopped', clients, images);
  await hawker.restart();
  await pullAll(t, 'origin stopped, mirror restarted', clients, images);
  await pullAll(t, 'origin stopped, mirror restarted, by a second name', others, images, SECOND_UPSTREAM);
});

e2e(t, 'each client alone, from an empty store', PROGRAMS, async (t, rig) => {
  const { images, relay } = await originWithImages(rig);
  const hawker = await Hawker.start(rig, 'hawker', relay.url);
  for (const client of await allClients(rig, hawker)) {
    await hawker.restartEmpty();
    relay.exchanges.length = 0;
    await pullAll(t, 'cold, alone', [client], images);
    const fetched = relay.gets('/blobs/');
    const twice = fetched.filter(({ path }, index) => fetched.findIndex((other) => other.path === path) !== index);
    t.same(twice, [], `${client.name} alone: one GET a blob`);
    t.ok(fetched.length > 0, `${client.name} alone: the blobs came from the origin`);
  }
});

function blobBytes(images: Published[]): number {
  const blobs = new Map(images.flatMap((image) => image.images.flatMap((one) => [...one.blobs])));
  return [...blobs.values()].reduce((sum, size) => sum + size, 0);
}
