//! Databases for tests: each test of the store runs on both kinds.

use bellwether_postgres::Server;
use tempfile::TempDir;

/// Where the databases of one test are. They go with this.
pub(crate) enum Place {
    Sqlite(TempDir),
    Postgres(Box<Server>),
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a directory"))
    }

    /// None on a machine without PostgreSQL, where none is required.
    pub(crate) fn postgres() -> Option<Self> {
        Server::start().map(|server| Self::Postgres(Box::new(server)))
    }

    /// The address of the test's database.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(dir) => format!("sqlite://{}/state.db", dir.path().display()),
            Self::Postgres(server) => server.url("postgres"),
        }
    }

    /// The address of another database, made here and empty.
    pub(crate) fn another(&self, name: &str) -> String {
        match self {
            Self::Sqlite(dir) => format!("sqlite://{}/{name}.db", dir.path().display()),
            Self::Postgres(server) => server.create_database(name),
        }
    }
}

/// Makes two tests of each function from a [`Place`]: one in module `sqlite`, and one in module `postgres`.
macro_rules! on_each_database {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::testing::Place::sqlite()).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    if let Some(place) = crate::testing::Place::postgres() {
                        super::$test(place).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_each_database;
