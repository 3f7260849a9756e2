//! BW-05xx: the store and publishing.

use super::codes;

codes! { PUBLISH:
    NOT_INITIALISED = "BW-0501", "the reconciler was not initialised",
        "Neither the database nor the object store was ever initialised.",
        "Run bellwether-reconciler init once.";
    DATABASE_EMPTY = "BW-0502", "the database is empty, but the store is not",
        "The database was lost or another path is configured. Going on as if new would give versions and tokens a second time.",
        "Configure the right database, or restore it from a backup.";
    OBJECT_STORE_EMPTY = "BW-0503", "the store is empty, but the database is not",
        "The object store was lost, is not mounted, or another path is configured. Its records of spent tokens would be missing.",
        "Mount or configure the right store, or restore it from a backup.";
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
        "The database did not do what was asked: permissions, space, damage, or a newer release wrote it.",
        "Mend what the message names, or restore the database from a backup.";
}
