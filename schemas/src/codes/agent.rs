//! BW-06xx: the agent.

use super::codes;

codes! { AGENT:
    AGENT_STATE = "BW-0601", "the agent's state cannot be used",
        "A file of the state directory is there, but cannot be read, written or understood. It is never taken as absent.",
        "Mend the disk or the permissions. If a file is damaged or lost for good: stop the agent, move the state directory away (mv /var/lib/bellwether /var/lib/bellwether.lost), remove what the agent had placed, and enroll the device with a new token. It begins as one that has nothing yet, and needs no Resume.";
    NOT_ENROLLED = "BW-0602", "the device is not enrolled",
        "The state directory holds no certificate.",
        "Run bellwether-agent enroll first, with the same --state.";
    AGENT_CONFIG = "BW-0603", "the agent's configuration cannot be read",
        "agent.yaml is missing, is not YAML, or has a field that this release does not know.",
        "Mend the file; the message names the place.";
    AGENT_RUNNING = "BW-0604", "another agent uses the state directory",
        "One agent at a time holds the lock of a state directory.",
        "Stop the other agent, or give this one its own --state.";
    CLOCK_BEHIND = "BW-0605", "the device's clock is behind",
        "The clock shows a time before this agent was built, or before the last time it could verify. That time is used instead.",
        "Set the clock; the agent goes on meanwhile.";
    AGENT_STOPPED = "BW-0606", "the agent does not run",
        "No process holds the lock of the state directory, so nothing keeps this device at what its targets say.",
        "Start it: systemctl start bellwether-agent. If it ends again, its log says why: journalctl -u bellwether-agent.";
    LITTLE_ROOM = "BW-0607", "a file system has little room",
        "New contents are written beside the old ones before anything is switched, and a full disk stops that.",
        "Make room (df -h, df -i); nothing that runs is harmed meanwhile.";
    ALLOWED_UNUSABLE = "BW-0608", "something that the operator allows cannot be used",
        "agent.yaml allows a directory that is not there or cannot be written to, or a program that is not there or cannot be run.",
        "Make the directory or install the program, or take it out of agent.yaml.";
    SERVER_UNREACHABLE_AGENT = "BW-0610", "the reconciler cannot be reached",
        "No connection could be made: the address, the port, the network or a firewall.",
        "Check the address that the message names; the agent tries again by itself.";
    TLS_NAME_MISMATCH = "BW-0611", "the server's certificate is for other names",
        "The address that was asked for is not among the names in the server's certificate.",
        "Use one of the names that the message lists, or have the reconciler's certificate made with this name.";
    TLS_UNTRUSTED = "BW-0612", "the server's certificate is not trusted",
        "The certificate was not signed by the pinned CA.",
        "Give --ca the reconciler's ca.crt. If that is the right file, something else answers at this address. Where the reconciler was set up anew, enroll again with its new ca.crt.";
    TLS_FAILED = "BW-0613", "no secure connection could be made",
        "The TLS handshake failed: the message says why (another protocol, a certificate that the other side refuses).",
        "Check that the address belongs to the listener, and the clock of both sides.";
    ANSWER_UNREADABLE = "BW-0614", "the server's answer is not understood",
        "The answer is not what this agent expects: the address is another listener, or another release.",
        "Check the address; update the agent.";
    ROOT_UNUSABLE = "BW-0615", "the pinned TUF root cannot be used",
        "The file is not a root.json that is signed by its own keys.",
        "Give --tuf-root the reconciler's 1.root.json (or a later one).";
    TLS_TIME = "BW-0616", "the server's certificate is not valid at this time",
        "By the device's clock the certificate is not valid any more: that clock is far ahead, or the certificate ran out. A clock that is behind is no reason for this.",
        "Compare the times in the message, and set the clock that is wrong. If both are right, the reconciler needs a new certificate.";
    ROOT_FOREIGN = "BW-0617", "the root that this device pins is not one of this reconciler's",
        "The reconciler has another root of the same number, or its next root is not signed by the keys that this device trusts: its keys were made anew, or something else answers. No update verifies, and the device keeps what it runs.",
        "If the keys were made anew, enroll the device again with the reconciler's root: bellwether-agent enroll. Otherwise find out what answers.";
    AUTHORITIES_REFUSED = "BW-0618", "authorities that the reconciler named were not taken over",
        "None of them vouches for the certificate of the server that named them, so with them alone the device could not come back.",
        "Look at ca.crt and server.crt of the reconciler: bellwether-reconciler certs. The device goes on with the authorities that it trusts.";
    METADATA_REFUSED = "BW-0620", "signed metadata was refused",
        "The metadata that the device was given does not verify: signature, version, expiry, hash or form.",
        "If the clock is right and this lasts, look at the reconciler's store and keys. The device keeps what it runs.";
    METADATA_FOREIGN = "BW-0621", "the metadata is for another device",
        "The signed metadata names a device other than this one.",
        "Look at what answers at the updates address; the device keeps what it runs.";
    SPEC_UNUSABLE = "BW-0622", "the device's spec cannot be used",
        "The spec is not canonical, is not what was signed, or needs a target that the metadata does not list.",
        "Update the agent if the reconciler is newer; the device keeps what it runs.";
    DOWNLOAD_FAILED = "BW-0623", "a download failed",
        "A target did not arrive, or is not what its signed length and digest say.",
        "The agent tries again by itself; look at network and space if it lasts.";
    VERSION_NOT_HIGHER = "BW-0630", "an offered version is not higher",
        "An agent takes only a version above the highest that it ever began, unless a signed supersedes names exactly what it runs.",
        "Write a signed Resume for this device: bellwether device resume.";
    OFFER_ALTERED = "BW-0631", "an offered version was offered before with other content",
        "The same version came with another digest, or the same number with another commit: one of the two is not what the history says.",
        "Find out who publishes; then a signed Resume for this device moves it on.";
    WINDOW_PASSED = "BW-0632", "the time to apply has passed",
        "The offer says until when it may be applied, and that time was over before everything was there.",
        "Nothing: the reconciler offers again in the next window.";
    PATH_NOT_ALLOWED = "BW-0640", "a path is not allowed on this device",
        "The spec places something outside the path prefixes that the operator of this device allows.",
        "Add the prefix to paths in agent.yaml, or change the fleet's template.";
    PATH_FOREIGN = "BW-0641", "somebody else placed something at a path",
        "The path exists, and this agent did not place it.",
        "Move it away, or set overwrite: true for that file; the original then returns on removal.";
    PATH_UNSAFE = "BW-0642", "a path cannot be reached safely",
        "A part of the path is a symbolic link, or is no directory.",
        "Use the path without links, or make the directory.";
    OWNER_NOT_POSSIBLE = "BW-0643", "the owner of a file cannot be set",
        "Only an agent that runs as root can give files to others, and the user or group must exist on the device.",
        "Run the agent as root, create the user or group, or leave owner and group out.";
    APPLY_FAILED = "BW-0644", "the device could not be changed",
        "A file could not be written, switched or removed; what was done has been undone.",
        "Mend what the message names: space, permissions, a read-only file system.";
    ROLLBACK_FAILED = "BW-0645", "the previous version could not be restored",
        "Undoing failed half-way; the agent tries again at each heartbeat and at its next start.",
        "Mend what the message names: space, permissions, a read-only file system.";
    PROBE_NOT_ALLOWED = "BW-0650", "a probe is not allowed on this device",
        "The operator's allowlists do not have the program or the host. An empty list allows nothing.",
        "Add it to exec or probeHosts in agent.yaml, or change the fleet's template.";
    PROBE_FAILED = "BW-0651", "a probe failed",
        "What was applied does not pass its probes; the device went back to what it ran before.",
        "Read the message; mend the template and push.";
    CONNECTIVITY_LOST = "BW-0652", "the reconciler could not be reached after applying",
        "An agent that had a session before it applied a version could reach neither the reconciler nor a fallback address within connectivity.within, and went back. Where the reconciler itself was not serving meanwhile, the attempt is inconclusive: the version is offered again, and nothing counts against it.",
        "See what the version changes about the network, mend it and push. If only the site's network was away, try again: bellwether rollout retry.";
    INSTALL_NOT_ROOT = "BW-0660", "the installer needs root",
        "The agent is installed for the whole device, as a service.",
        "Run it by sudo or as root; with --root DIR it installs into a directory of yours.";
    INSTALL_TOOL = "BW-0661", "a program that the installer needs is missing",
        "It downloads by curl or GNU wget (that of busybox checks no certificates), and compares by sha256sum.",
        "Install the program that the message names, or pass the agent by --agent FILE.";
    INSTALL_PLATFORM = "BW-0662", "the agent does not run on this device",
        "It is for Linux, there is none for this processor, or the file system is mounted noexec.",
        "Pass one that was built for this device by --agent FILE, or --prefix DIR with a directory that programs may run from.";
    INSTALL_NO_SYSTEMD = "BW-0663", "systemd does not run here",
        "The installer starts the agent as a systemd service.",
        "Pass --no-start, and have your own supervisor run: bellwether-agent run --config /etc/bellwether/agent.yaml";
    INSTALL_DOWNLOAD = "BW-0664", "the agent cannot be downloaded",
        "The reconciler was reached and does not give the agent, or it did not arrive whole.",
        "Do what the message says on the reconciler; for an agent that is not offered: put it at agents/<target>/bellwether-agent.";
    INSTALL_DISK = "BW-0665", "the installer cannot write a file",
        "The disk is full or mounted read-only, or permissions do not allow it.",
        "Make room, mount it writable, or mend the permissions; then run it again.";
    INSTALL_TOKEN = "BW-0666", "there is no token to enroll with",
        "A device that is not enrolled needs a token: from a file, from standard input, or typed on a terminal.",
        "bellwether token mint, then pass --token-file FILE.";
    INSTALL_SERVICE = "BW-0667", "the agent was installed and does not start",
        "systemd could not start the service, or the agent ended at once.",
        "journalctl -u bellwether-agent -n 50 and bellwether-agent check say why.";
}
