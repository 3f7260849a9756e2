//! BW-05xx: the store and publishing.

use super::codes;

codes! { PUBLISH:
    NOT_INITIALISED = "BW-0501", "the reconciler was not initialised",
        "Neither the database nor the object store was ever initialised.",
        "For a new installation run bellwether-reconciler init once. If both were lost: bellwether-reconciler restore, with --from where there is a backup.";
    DATABASE_EMPTY = "BW-0502", "the database is empty, but the store is not",
        "The store has content but lacks instance.json, so it is damaged, or is no store of a reconciler. Going on as if new would give versions and tokens a second time.",
        "Configure the right store, or move the damaged one aside and run bellwether-reconciler restore.";
    OBJECT_STORE_EMPTY = "BW-0503", "the store is empty, but the database is not",
        "The object store was lost, is not mounted, or another path is configured. Its records of spent tokens would be missing.",
        "Mount or configure the right store. If it is lost: bellwether-reconciler restore makes it anew.";
    STORE_MISMATCH = "BW-0504", "database and store belong to different reconcilers",
        "Each names the store it was initialised with, and the names differ.",
        "Configure a database and a store that belong together.";
    STORE_IN_USE = "BW-0505", "the database or the store is in use already",
        "Only an empty database and an empty object store can be initialised.",
        "Use the reconciler that is there, or choose empty places.";
    OBJECT_STORE_FAILED = "BW-0506", "the object store failed",
        "The directory or service did not do what was asked: permissions, space or connection.",
        "Mend what the message names; the reconciler tries again by itself.";
    DATABASE_FAILED = "BW-0507", "the database failed",
        "The database did not do what was asked: permissions, space, damage, or a server that is away.",
        "Mend what the message names, or restore the database from a backup.";
    KEY_EXISTS = "BW-0508", "a key file exists already",
        "Keys are made once. Overwriting one would leave devices with a root that nobody can sign for.",
        "Use the keys that are there, or name empty directories.";
    KEY_EXPOSED = "BW-0509", "a key file can be read by others",
        "A private key must have mode 0600. One that others could read may be known to them.",
        "Make sure nobody copied it, then run chmod 0600 on the file.";
    KEY_UNREADABLE = "BW-0510", "a key file cannot be used",
        "The file is missing, cannot be read or written, or holds no Ed25519 key in PKCS#8 PEM.",
        "Mend what the message names, or restore the file from its backup.";
    STORE_ROOT_UNUSABLE = "BW-0511", "the store has no usable root",
        "root/1.root.json is missing from the store, or is not signed as it says itself.",
        "Restore root/ of the store, or run bellwether-reconciler init for a new one.";
    KEYS_NOT_IN_ROOT = "BW-0512", "the online keys are not those of the root",
        "Devices accept only what is signed by the keys that the newest root lists.",
        "Configure the keys directory that belongs to this store.";
    TARGET_MISMATCH = "BW-0513", "content is not what its digest or length says",
        "What was to be published differs from what was to be signed.",
        "Report it with the log; nothing was published.";
    PRESENTED_FOREIGN = "BW-0514", "presented metadata is not ours",
        "A device presented metadata that no key of this store's roots signed. It counts for nothing.",
        "If the device came from another installation, enroll it here.";
    STORE_LOCKED = "BW-0515", "another process keeps a file of the store locked",
        "The accepted head is written under a lock that is held for milliseconds. Another reconciler on this store is stopped or hangs in the middle, or some program locked the file.",
        "End the process that the message names, or find it: fuser -v FILE. Run one reconciler on one store. This one tries again by itself.";
    STATE_LOCKED = "BW-0516", "another reconciler has the state",
        "One process works on a state at a time. A second one on the same SQLite file is refused; on PostgreSQL it stands by until the first one ends.",
        "Use the reconciler that runs, or end the process that the message names. For SQLite: fuser -v FILE.lock shows which one has it.";
    STATE_LOCK_LOST = "BW-0517", "another reconciler took the state over",
        "The connection to PostgreSQL that held the state was lost, and another reconciler took the state before this one could connect again. This one ended, so as not to write beside it.",
        "Let the supervisor start it again: it stands by. If it happens often, mend the network between reconciler and database.";
    DATABASE_NEWER = "BW-0518", "a newer release migrated the database",
        "Tables are only ever brought forward. This release does not know what the newer one changed, so it touches nothing.",
        "Run the newer release, or restore the backup that was made before the upgrade.";
    DATABASE_ALTERED = "BW-0519", "the database was not made by a release of this program",
        "A migration that this release knows is recorded there with other content: another program's database, a build of somebody's own, or a changed record.",
        "Configure the right database, or restore it from a backup.";
    REPOSITORY_ADDRESS = "BW-0520", "the repository's address or branch is malformed",
        "A repository is named by a path, https://host/path, ssh://user@host/path or user@host:path.",
        "Correct repository and branch in the configuration.";
    REPOSITORY_UNREACHABLE = "BW-0521", "the repository cannot be reached",
        "The path does not exist, belongs to another user, the network or the server fails, or access is denied. For paths and ssh git must be installed.",
        "Try git ls-remote with the same address as the same user. What runs goes on.";
    BRANCH_MISSING = "BW-0522", "the repository lacks the branch",
        "The watched branch was deleted or renamed, or was never pushed.",
        "Push the branch, or correct branch in the configuration.";
    REPOSITORY_SHALLOW = "BW-0523", "the repository is a shallow clone",
        "It lacks older commits, so that its history cannot be verified nor counted.",
        "Run git fetch --unshallow in it, or watch a full repository.";
    MIRROR_FAILED = "BW-0524", "the mirror cannot be used",
        "The reconciler's own copy of the repository is damaged, changed by someone, or not writable.",
        "Remove the mirror's directory while the repository can be reached and has the accepted head: it is fetched again.";
    REPOSITORY_ACCESS = "BW-0525", "a file that opens the way to the repository cannot be used",
        "repositoryAccess in the configuration names a token, certificate, key or list of hosts; the file is missing, empty, or can be read by others.",
        "Mend the file that the message names. It is read again with the next fetch.";
    ROOT_DIFFERS = "BW-0526", "store and keys have different roots",
        "A version of the TUF root is in the store and beside the online keys, and the two are not the same file: they belong to different installations, or two people made the same next root.",
        "Configure the keys directory that belongs to this store. Where a root was made twice, remove the file beside the keys that was not published, and make it again on top of the newest.";
    ROOT_NEEDS_RESTART = "BW-0527", "a new root waits for a restart of the reconciler",
        "The next root beside the online keys lists other online keys than those that the reconciler has loaded. Devices would refuse what it signs with those.",
        "Restart the reconciler: it loads the new keys, publishes the root and signs all metadata again.";
    ROOT_DRAFT = "BW-0528", "the next root cannot be made, signed or put in force",
        "The change cannot be (fewer keys than must sign), too few have signed, the file is another root, or another root has come in between.",
        "bellwether keys show --online DIR says who may sign and how many must. Have the others sign, or draft it anew: bellwether keys rotate.";
    ROOT_ENDS = "BW-0529", "the TUF root ends soon",
        "Devices take nothing new after its end; what runs goes on.",
        "Make the next one, which lasts for another 30 years: bellwether keys rotate, sign and finish.";
    RECORDS_BEHIND = "BW-0530", "the database was lost, or is older than what is in the store or on devices",
        "The database was deleted, or it or the store was put back from a copy, or a newer release wrote a record of a rollout that this one cannot read. What git, the store and devices know better is taken from them, and devices that have a version are waited for.",
        "Nothing: devices take part again as they report. If nobody put a copy back, find out who did. What only the lost records knew is listed in docs/backup-restore.md.";
    BACKUP_FAILED = "BW-0531", "the backup could not be made",
        "The place of the backup exists already or cannot be written, or the database or the store failed.",
        "Mend what the message names, and name a new folder with --to.";
    RESTORE_REFUSED = "BW-0532", "nothing could be restored",
        "A reconciler still runs on this state, the database that is there is not empty, the backup is not one or is another reconciler's, or the keys are not there.",
        "Do what the message says; nothing was changed. Keys and the certificate authority are secrets of their own: put them back first.";
    RECONCILER_MADE = "BW-0533", "a reconciler was made there already",
        "The folder has a reconciler.yaml, which init writes last. Nothing of it is ever overwritten.",
        "Run the one that is there: bellwether-reconciler run --config DIR/reconciler.yaml. For another one name another --dir.";
    AUTHORITY_LEFT = "BW-0534", "init found files of another certificate authority",
        "An earlier init broke off while it made them, or was for other --names; or somebody put them there. They are never overwritten.",
        "If no device was enrolled with that authority, remove the folder and run init again. Otherwise put all its files back from their backup, and name the names of its server's certificate.";
    DATABASE_OLDER = "BW-0535", "the database is of an earlier release",
        "Commands that look at a state bring its tables not forward: the reconciler of the earlier release may be running on it, and could not go on.",
        "Use the earlier release's program, as for the backup before an upgrade; or start this release's reconciler first.";
    RESTORE_UNFINISHED = "BW-0539", "a restore was interrupted",
        "What is in the store is not whole: records of spent tokens may be missing. Nothing runs on it before the restore has ended.",
        "Run the same bellwether-reconciler restore again, with the same --from.";
    STORE_TAKEN_OVER = "BW-0540", "another reconciler took the store over",
        "Another reconciler with this store was started or took over while this one ran; or an older copy of the store was put back under it. This one ended, so as not to write over what the other one writes.",
        "Let the supervisor start it again: it stands by, or goes on where nobody else does. If two have one store and different databases, give each its own.";
}
