use std::collections::BTreeMap;

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqlitePool;

use super::super::database::Query;
use super::super::migrate;
use super::*;

on_each_database!(
    a_head_of_an_earlier_release_gets_the_policy_version_of_its_landing,
    a_database_of_a_newer_release_is_refused_and_left_alone,
    a_look_at_a_database_brings_nothing_forward,
    a_database_with_another_migration_is_told_apart,
);

/// A database as an earlier release left it.
async fn before(place: &Place, migration: i64) -> Database {
    let run_to = |known: &'static Migrator| (known, migration);
    match Address::parse(&place.url()).expect("an address") {
        Address::Sqlite(options) => {
            let pool = SqlitePool::connect_with(*options).await.expect("a database");
            let (known, migration) = run_to(&migrate::SQLITE);
            known.run_to(migration, &pool).await.expect("migrated");
            Database::Sqlite(pool)
        }
        Address::Postgres(options) => {
            let pool = sqlx::PgPool::connect_with(*options).await.expect("a database");
            let (known, migration) = run_to(&migrate::POSTGRES);
            known.run_to(migration, &pool).await.expect("migrated");
            Database::Postgres(pool)
        }
    }
}

async fn run(store: &Database, statement: String) {
    Query::of_constants(statement, Vec::new()).execute(store).await.expect("it runs");
}

async fn a_head_of_an_earlier_release_gets_the_policy_version_of_its_landing(place: Place) {
    let earlier = before(&place, 2).await;
    run(&earlier, format!("INSERT INTO head VALUES (1, '{}', '{}', 2)", commit(1), commit(2))).await;
    let landing =
        format!("INSERT INTO landings VALUES ('{}', 2, '{}', 'ada', 7, 's', '{}')", commit(1), commit(2), at(0));
    run(&earlier, landing).await;
    earlier.close().await;
    let head = open(&place).await.load_all().await.expect("loaded").head;
    assert_eq!(head, Some(HeadRow { policy_version: 7, spoken: None, ..super::head(2) }));
}

async fn a_look_at_a_database_brings_nothing_forward(place: Place) {
    before(&place, 2).await.close().await;
    for _ in 0..2 {
        let refused = Store::open_beside(&place.url()).await.expect_err("it is older");
        assert!(matches!(refused, StoreError::Older { found: 2, .. }), "{refused}");
        assert_eq!(refused.code(), codes::DATABASE_OLDER);
    }
    open(&place).await.close().await;
    Store::open_beside(&place.url()).await.expect("it is of this release").close().await;
}

async fn a_database_of_a_newer_release_is_refused_and_left_alone(place: Place) {
    let store = open(&place).await;
    let newest = migrate::SQLITE.iter().map(|migration| migration.version).max().expect("there are migrations");
    let future = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  SELECT version + 1, 'of the future', success, checksum, 0 FROM _sqlx_migrations WHERE version = ";
    run(store.database(), format!("{future}{newest}")).await;
    store.close().await;
    let refused = Store::open(&place.url()).await.expect_err("it is newer");
    assert!(
        matches!(refused, StoreError::Newer { found, newest: known, .. } if (found, known) == (newest + 1, newest))
    );
    assert_eq!(refused.code(), codes::DATABASE_NEWER);
    let said = refused.to_string();
    for part in [
        "BW-0518",
        &format!("migration {}", newest + 1),
        &format!("up to {newest}"),
        "run the newer release",
        &place.url(),
    ] {
        assert!(said.contains(part), "{said}");
    }
    // It was refused before anything was changed, and no lock is left behind: refused again, at once.
    assert_eq!(Store::open(&place.url()).await.expect_err("still").code(), codes::DATABASE_NEWER);
}

async fn a_database_with_another_migration_is_told_apart(place: Place) {
    let store = open(&place).await;
    run(store.database(), "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1) WHERE version = 2".to_owned()).await;
    store.close().await;
    let refused = Store::open(&place.url()).await.expect_err("another program's");
    assert!(matches!(refused, StoreError::Altered { found: 2, .. }), "{refused}");
    assert!(refused.code() == codes::DATABASE_ALTERED && refused.to_string().contains("BW-0519"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_of_a_server_is_migrated_by_one_of_many() {
    let Some(place) = Place::postgres() else { return };
    let url = place.url();
    let opened = futures::future::join_all((0..8).map(|_| Store::open(&url))).await;
    for store in opened {
        store.expect("whoever comes second finds it done").load_all().await.expect("loaded");
    }
}

/// Table, column → (type, whether it may be NULL, place in the primary key).
type Columns = BTreeMap<(String, String), (String, bool, i64)>;

async fn columns(store: &Store, sql: &'static str) -> Columns {
    let rows = query(sql).fetch_all(store.database()).await.expect("read");
    let text = |row: &super::super::database::Row, column| row.text(column).expect("text").expect("not NULL");
    rows.iter()
        .map(|row| {
            let kind = text(row, "type").to_uppercase();
            // SQLite has one type of whole numbers, under two names.
            let kind = if kind == "INTEGER" { "BIGINT".to_owned() } else { kind };
            let nullable = row.number("nullable").expect("a number") == 1;
            let key = row.number("key").expect("a number");
            ((text(row, "tab"), text(row, "col")), (kind, nullable, key))
        })
        .collect()
}

const OF_SQLITE: &str = "SELECT m.name AS tab, c.name AS col, c.type AS type, 1 - c.\"notnull\" AS nullable, c.pk AS key \
                         FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name <> '_sqlx_migrations'";
const OF_POSTGRES: &str = "SELECT c.table_name::text AS tab, c.column_name::text AS col, c.data_type::text AS type, \
                           (CASE c.is_nullable WHEN 'YES' THEN 1 ELSE 0 END)::bigint AS nullable, \
                           COALESCE(k.ordinal_position, 0)::bigint AS key FROM information_schema.columns c \
                           LEFT JOIN (information_schema.table_constraints t JOIN information_schema.key_column_usage k \
                           USING (constraint_name, table_schema, table_name)) ON t.constraint_type = 'PRIMARY KEY' \
                           AND k.table_name = c.table_name AND k.column_name = c.column_name AND k.table_schema = c.table_schema \
                           WHERE c.table_schema = current_schema() AND c.table_name <> '_sqlx_migrations'";

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_get_the_same_tables() {
    let Some(postgres) = Place::postgres() else { return };
    let versions =
        |known: &Migrator| known.iter().map(|one| (one.version, one.description.clone())).collect::<Vec<_>>();
    assert_eq!(versions(&migrate::SQLITE), versions(&migrate::POSTGRES));
    let sqlite = Place::sqlite();
    let of_sqlite = columns(&open(&sqlite).await, OF_SQLITE).await;
    assert_eq!(of_sqlite, columns(&open(&postgres).await, OF_POSTGRES).await);
}

#[tokio::test]
async fn a_copy_has_every_table_and_column() {
    use super::super::copy::{Kind, TABLES};
    let place = Place::sqlite();
    let made = columns(&open(&place).await, OF_SQLITE).await;
    let mut copied = BTreeMap::new();
    for table in &TABLES {
        for (number, (column, kind)) in table.columns.iter().enumerate() {
            let kind = match kind {
                Kind::Text => "TEXT",
                Kind::Number => "BIGINT",
                Kind::Flag => "BOOLEAN",
            };
            let key = if number < table.key { i64::try_from(number).expect("small") + 1 } else { 0 };
            copied.insert((table.name.to_owned(), (*column).to_owned()), (kind.to_owned(), key));
        }
    }
    let made: BTreeMap<_, _> = made.into_iter().map(|(place, (kind, _, key))| (place, (kind, key))).collect();
    assert_eq!(made, copied, "add what a migration adds to TABLES in store/copy.rs");
}
