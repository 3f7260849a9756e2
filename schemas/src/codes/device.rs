//! BW-03xx: devices, versions, enrollment and TLS.

use super::codes;

codes! { DEVICE:
    VERSION_MISSING = "BW-0301", "a device runs a commit that the history does not have",
        "The commit the device reports is not a landing of the accepted history: the branch was forced back, or a git server was restored from an old backup.",
        "Push the missing commits again, or write a signed Resume that names them: bellwether device resume.";
    VERSION_ALTERED = "BW-0302", "a device runs something else than was signed for its version",
        "The digest the device reports differs from the digest in our signed targets for that version.",
        "Find out what changed the device; then name it in a signed Resume: bellwether device resume.";
    REPORT_UNREADABLE = "BW-0303", "a device's report cannot be read",
        "The report is malformed, or gives a known commit a wrong landing number. It pauses that device alone.",
        "Update the agent or mend the device; then name it in a signed Resume: bellwether device resume.";
    DEVICE_CLOCK = "BW-0304", "a device's clock is far off",
        "The time in the device's report differs by more than five minutes from the reconciler's. Certificates and signed metadata are judged by the clock; one of the two is wrong.",
        "Look at both (timedatectl) and at what sets them (NTP, a real-time clock with an empty battery). The device goes on as far as its certificates are valid for its clock.";
    MISSING_COMMIT_SHARED = "BW-0305", "several devices run the same commit that the history does not have",
        "One device may have been set back or copied; several that name one missing commit say that the history itself lost it: a branch that was forced back, or a git server restored from an old backup.",
        "Look for the commit in the clones of those who pushed, and push it back. If it was given up on purpose: bellwether device resume --all --over COMMIT.";
    ENROLL_REQUEST = "BW-0310", "an enrollment request cannot be read",
        "The request is not the JSON that is expected, is too large, or its token is not 64 hexadecimal digits.",
        "Use the agent of this release, and give it the token as it was printed.";
    TOKEN_UNKNOWN = "BW-0311", "the token is not known",
        "No accepted landing lists the SHA-256 of this token: it was never pushed, not accepted, or is misspelt.",
        "Push the Enrollment that lists it and wait until the reconciler accepted it, or use another token.";
    TOKEN_EXPIRED = "BW-0312", "the token has expired",
        "The Enrollment says until when the token is accepted, and that time is past.",
        "Make a new one: bellwether token mint.";
    TOKEN_REVOKED = "BW-0313", "the token is revoked",
        "The history's last word on this entry of the Enrollment is revoked: true; or its device is revoked or decommissioned, or counts under another entry.",
        "Make a new one: bellwether token mint. A device that was revoked or decommissioned must be taken back first: bellwether device revoke --undo, or decommission --undo.";
    TOKEN_SPENT = "BW-0314", "the token is spent",
        "Each token enrolls one device, once. It was used with another key.",
        "Make a new one: bellwether token mint. If nobody of yours used it, revoke its entry.";
    REQUEST_KEY = "BW-0315", "a certificate request cannot be accepted",
        "The request is not a signed PKCS#10 request for an ECDSA P-256 or Ed25519 key, or its key is that of the old certificate.",
        "Make a new key, and a request signed by it.";
    DEVICE_NAME_TAKEN = "BW-0316", "no name can be made for the device",
        "A token that names no device yields <enrollment>-<16 hexadecimal digits>; that is too long, or an entry names a device so.",
        "Give the token a device name, or the Enrollment a shorter one (46 characters at most).";
    ISSUE_FAILED = "BW-0317", "the certificate could not be issued",
        "Signing or recording the certificate failed on the reconciler; its log says why. The token, or the approval, is this key's from now on.",
        "Mend the reconciler's store, then run the same command on the same device again: it goes on with the same token and key.";
    TOKEN_VOID = "BW-0318", "the token, or the approval of the key, is void",
        "The records of spent tokens were lost with the reconciler's store. Nobody can say whether a token that was listed before then is spent, or an approved key has its certificate, so none of them is accepted.",
        "Make a new token (bellwether token mint), or approve the key again by a new entry. Devices that are enrolled need neither.";
    ENROLL_PENDING = "BW-0319", "a device's key waits for approval",
        "The device asked to enroll without a token, and no accepted landing lists the fingerprint of its key yet. It asks again by itself.",
        "Compare the fingerprint with what the device shows, then approve it: bellwether device approve FINGERPRINT --enrollment NAME --commit && git push.";
    ENROLL_RATE = "BW-0320", "too many requests to the listener enroll at once",
        "The enroll listener takes so many requests from one address, and from all together, in a while. Nothing was spent.",
        "The agent waits and asks again by itself. If this repeats with few devices, find out who else asks.";
    ENROLL_CLOSED = "BW-0321", "the enrollment takes no such requests",
        "A device asked without a token. No accepted landing has an Enrollment of that name with approval: manual, or, for a factory certificate, with a ca; or the name is misspelt.",
        "Check the name that the device was given; set approval: manual or ca in enrollments/NAME.yaml and push; or use a token: bellwether token mint.";
    APPROVAL_REVOKED = "BW-0322", "the approval of the device's key does not count any more",
        "The history's last word on the key's entry or its device is revoked: true, or a newer entry names that device.",
        "Remove bellwether's state on the device (/var/lib/bellwether) so that it makes a new key, and approve that one; or set revoked: false.";
    FACTORY_CERTIFICATE = "BW-0323", "a factory certificate is refused",
        "It was not signed by an authority that the Enrollment's ca lists, is not valid now, or is not a certificate for clients.",
        "Compare it with ca in enrollments/NAME.yaml (openssl verify -CAfile); send the certificates in between along, the device's own first.";
    FACTORY_PROOF = "BW-0324", "a request is not signed by the key of the factory certificate",
        "The signature that comes with a factory certificate binds the device's new key and the Enrollment. It is not one by the certificate's key over this request, or the key is of a kind that is not accepted: ECDSA P-256 or P-384, Ed25519, RSA of 2048 bits or more.",
        "Give the agent the key that belongs to the certificate: --factory-key.";
    REQUESTS_FULL = "BW-0325", "too many devices wait for approval",
        "Requests that wait are kept in memory; there is room for so many from one address and in all.",
        "Approve or turn away those that wait: bellwether get requests. The agent asks again by itself.";
    KEY_CHANGED = "BW-0326", "an entry of an Enrollment has another key than before",
        "An entry keeps the fingerprint that it was first listed with, since a certificate names the entry it was made with. The new key is not accepted; all else that the entry says counts.",
        "Restore the first fingerprint, and approve the new key under an id of its own: bellwether device approve.";
    FACTORY_CA = "BW-0327", "the ca of an Enrollment cannot be used",
        "It is not one or more certificates of authorities in PEM.",
        "Write ca: | and below it, indented, the certificates as openssl x509 prints them.";
    CERTIFICATE_FOREIGN = "BW-0330", "a certificate does not name a device of this reconciler",
        "The client certificate bears no identity of the form bellwether://<domain>/<enrollment>/<entry>/<device>, or another domain.",
        "Enroll the device here: bellwether-agent enroll.";
    CERTIFICATE_EXPIRED = "BW-0331", "a device's certificate has expired",
        "Agents renew at two thirds of a certificate's life; this one was off for longer than that, and an expired certificate may call Renew alone, for as long as renewGrace says.",
        "The agent renews by itself where it may. After renewGrace: enroll the device again with a new token, bellwether-agent enroll.";
    CERTIFICATE_REPLACED = "BW-0332", "a device's certificate is replaced",
        "A newer entry of an Enrollment names the device, and a device counts under its last-listed entry only; or the device has used a newer certificate since, and the ones before it are refused from then on.",
        "Enroll the device with the newer entry's token: bellwether-agent enroll. A device whose state directory went back to an older copy needs a new token; if yours did not, somebody uses an old key of it.";
    CERTIFICATE_REVOKED = "BW-0333", "a device's certificate is revoked",
        "The history's last word on the Enrollment entry it was made with is revoked: true.",
        "Enroll the device with a new token, if it shall come back.";
    DEVICE_REVOKED = "BW-0334", "the device is revoked",
        "The history's last word on the device is revoked: true.",
        "Set revoked: false in its Device manifest, if it shall come back.";
    ENTRY_UNLISTED = "BW-0335", "no accepted landing lists the device's enrollment entry",
        "The history does not (or no longer) contain the entry that the certificate was made with. The device may report and nothing else.",
        "Push the missing commits again, or enroll the device again.";
    SERVER_REFUSED = "BW-0336", "a client refuses the reconciler's certificate",
        "The client ended the TLS handshake: the certificate is not for the name it used, not of the authority it pinned, or not valid at the time its clock shows.",
        "bellwether-agent status on the device says which. For another name: bellwether-reconciler certs lists the names of the certificate, and certs renew --names makes one for others.";
    RENEWAL_TOO_LATE = "BW-0337", "a certificate expired too long ago to be renewed",
        "An expired certificate may be renewed for as long as renewGrace in reconciler.yaml says, a year if it says nothing.",
        "Enroll the device again with a new token: bellwether-agent enroll.";
    AUTHORITY_ENDED = "BW-0338", "the authority that issued a device's certificate has ended",
        "The certificate authority was replaced, and this device had not renewed before the old one ended (certs finish-ca --force).",
        "Enroll the device again with a new token: bellwether-agent enroll.";
    NOT_YOURS = "BW-0340", "a device asked for what is not its own",
        "A device gets its own metadata and the targets which that metadata lists, nothing else.",
        "If the device asked for its own name, enroll it again; otherwise find out who uses its key.";
    NOT_FOUND = "BW-0341", "there is no such thing here",
        "The path names nothing that this listener has.",
        "Check the address; the error names what was asked for.";
    METHOD_NOT_ALLOWED = "BW-0342", "this listener is read-only",
        "Every change is a signed commit; there is no write API, and this listener answers GET only.",
        "Change the repository and push, or ask with GET.";
    SESSION_REPLACED = "BW-0350", "a newer session of the same device took over",
        "A device has one session; opening another ends the first.",
        "If this repeats, two machines use the same certificate: enroll one of them again.";
    TOO_MANY_REQUESTS = "BW-0351", "a device sends more than it may",
        "Reports and renewals of a device are limited to a few a second.",
        "The agent waits and tries again by itself; update it if this repeats.";
    MESSAGE_TOO_LARGE = "BW-0352", "a message is larger than it may be",
        "A report may have 64 KiB, and 1 MiB of presented metadata.",
        "Update the agent; if this repeats, look at what the device sends.";
    RECONCILER_BUSY = "BW-0353", "the reconciler cannot answer now",
        "It is starting, stopping, or its store does not answer.",
        "The agent tries again by itself; the reconciler's log says more.";
    LISTENER_BIND = "BW-0360", "a listener cannot be opened",
        "The address is in use, is not one of this machine, or needs a privilege.",
        "Choose another address for that listener in reconciler.yaml, or stop what uses it.";
    AUTHORITY_FILES = "BW-0361", "the certificate authority's files cannot be used",
        "A file under ca/ is missing, cannot be read, is not what it should be, or others may read a key.",
        "Restore ca/ from its backup with mode 0600 for keys; only a new reconciler runs bellwether-reconciler init.";
    AUTHORITY_RELOAD = "BW-0362", "changed files of the certificate authority cannot be used",
        "Something under ca/ was changed and does not fit any more. The certificates that were loaded before go on being used.",
        "Mend what the message names, or restore ca/ from its backup; the files are read again by themselves, or at SIGHUP.";
    SERVER_CERTIFICATE_ENDS = "BW-0363", "the server's certificate cannot be renewed",
        "The reconciler renews it by itself at two thirds of its life, and could not: a file under ca/ is not as it should be, or there is no space.",
        "Mend what the message names before the certificate ends, or run bellwether-reconciler certs renew as the reconciler's user.";
    AUTHORITY_ENDS = "BW-0364", "the certificate authority ends soon",
        "Its certificate has less than 90 days left; device certificates end with it.",
        "Replace it: bellwether-reconciler certs rotate-ca, and certs finish-ca when all devices know the new one.";
    AUTHORITY_ROTATION = "BW-0365", "the certificate authority is not in the state for this step",
        "It is replaced in two steps, certs rotate-ca and then certs finish-ca, and another step was asked for.",
        "bellwether-reconciler certs shows where it stands.";
    DEVICES_TRUST_OLD = "BW-0366", "devices still need the old certificate authority",
        "Devices that trust the old authority alone, or bear a certificate of it, would be shut out when it ends. They learn of the new one when they report and renew.",
        "Wait until they have reported, or see to those that the message names. certs finish-ca --force shuts them out: they need to be enrolled again.";
    DEVICE_DECOMMISSIONED = "BW-0370", "the device is decommissioned",
        "The history asked it to remove everything (decommission: true), and it said that it did. Its certificate counts for nothing since then.",
        "To bring it back: bellwether device decommission DEVICE --undo, then a new token (bellwether token mint --replace), and enroll it again.";
    AGENT_ABSENT = "BW-0371", "the reconciler offers no agent for this target",
        "The directory agents (in reconciler.yaml; beside it by default) has no file <target>/bellwether-agent.",
        "Put the agent of your release at agents/<target>/bellwether-agent on the reconciler, or give it to the installer by --agent FILE.";
    INSTALLER_ADDRESS = "BW-0372", "the installer's address is not in the server's certificate",
        "Devices would refuse the reconciler under that address, so no installer is made for it.",
        "Use one of the names that the message lists (advertise.enroll in reconciler.yaml, or --address), or have the server's certificate made with this name.";
    TOO_MANY_CONNECTIONS = "BW-0373", "too many connections with one certificate, or from one address",
        "A listener takes eight connections with each certificate; a device needs one. Other certificates of the same device have places of their own. Listener enroll, which knows nobody yet, takes no more than half of its connections from one address (of IPv6: one /64).",
        "An address that keeps so many connections to enroll open is nobody who enrolls: keep it out by the firewall. With a certificate: if the device is well, somebody else uses its key: enroll it again with a new token (bellwether token mint --replace), which ends this certificate.";
    PAGE_NAME = "BW-0374", "the page is not called that",
        "A request to the listener page names another host than an address, localhost, a name of the server's certificate or advertise.page. A web page that somebody opens could otherwise read this one by a name of its own (DNS rebinding).",
        "Use an address or localhost. Where people reach the page by another name, as through a proxy, set advertise.page in reconciler.yaml to https://NAME.";
    API_PARAMETER = "BW-0375", "a parameter of the API cannot be read",
        "The message says which, and what may stand there. None is ignored: a filter must not be overlooked.",
        "Correct the address.";
}
