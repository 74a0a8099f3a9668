"""One BitTorrent peer of the rig: libtorrent-peer.py seed|leech TORRENT DIR ADDRESS PEERS.

Says "ready" when it is connected to that many others, begins to download at the next line on standard input, says "complete",
and goes on giving until it is ended. The settings are those that were fastest on this rig: 8 unchoke slots, a queue of 64
requests, TCP only.
"""

import sys
import time

import libtorrent

role, torrent, directory, address, peers = sys.argv[1:]
CONNECTED_WITHIN_S = 30

session = libtorrent.session(
    {
        "listen_interfaces": address + ":6881",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "in_enc_policy": 2,
        "out_enc_policy": 2,
        "unchoke_slots_limit": 8,
        "unchoke_interval": 3,
        "max_out_request_queue": 64,
        "close_redundant_connections": False,
        "min_announce_interval": 1,
        "min_reconnect_time": 1,
        "torrent_connect_boost": 100,
        "alert_mask": libtorrent.alert.category_t.status_notification,
    }
)
parameters = libtorrent.add_torrent_params()
parameters.ti = libtorrent.torrent_info(torrent)
parameters.save_path = directory
parameters.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
if role == "seed":
    parameters.flags |= libtorrent.torrent_flags.seed_mode
else:
    # Nothing is wanted yet: only found and connected to.
    parameters.file_priorities = [0]
handle = session.add_torrent(parameters)

if role == "leech":
    until = time.monotonic() + CONNECTED_WITHIN_S
    while handle.status().num_peers < int(peers) and time.monotonic() < until:
        handle.force_reannounce()
        time.sleep(0.5)
    session.pop_alerts()
    print("ready", flush=True)
    sys.stdin.readline()
    handle.prioritize_files([4])
    while not handle.status().is_seeding:
        session.wait_for_alert(20)
        session.pop_alerts()
    print("complete", flush=True)
else:
    print("ready", flush=True)
while True:
    time.sleep(3600)
