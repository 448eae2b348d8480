//! Opening a store: the file, its lock, its schema.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::rows::Result;
use crate::bridge::StoreError;
use crate::bridge::ports::Counts;

/// The migrations, in order. The number of the last one is the schema version.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/sqlite/0001_messages.sql"),
    include_str!("migrations/sqlite/0002_leases_in_memory.sql"),
    include_str!("migrations/sqlite/0003_packed_payloads.sql"),
    include_str!("migrations/sqlite/0004_bundles.sql"),
    include_str!("migrations/sqlite/0005_identity.sql"),
    include_str!("migrations/sqlite/0006_implied_lines.sql"),
];

/// Marks a file as a store of tieline (`PRAGMA application_id`): `tiel`.
const APPLICATION: i32 = 0x7469_656c;

/// How long a writer waits for another process before it gives up.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// How many pages the write-ahead log may have before they are copied into the file: 32 MiB. A page
/// that is written again and again until then is copied once.
const WAL_PAGES: u32 = 8192;

/// Statements kept prepared per connection.
const STATEMENTS_MAX: usize = 96;

/// Where the store is and how much it may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The file. Beside it stand `-wal` and `-shm`, which are SQLite's, and `.lock`.
    pub path: PathBuf,
    /// How many calls are committed together at most.
    pub batch_max: usize,
    /// The page cache of the writer in KiB; a reader has a quarter of it.
    pub cache_kib: u32,
    /// How many connections read.
    pub readers: usize,
}

impl Settings {
    /// A store in this file, with limits that suit most.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), batch_max: 256, cache_kib: 16_384, readers: 2 }
    }

    /// Takes `sqlite:PATH`.
    pub fn from_url(url: &str) -> Result<Self> {
        match url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::new(path)),
            Some(_) | None => Err(StoreError::Open {
                at: url.to_owned(),
                why: "expected sqlite:PATH, for example sqlite:/var/lib/tieline/store.db".into(),
            }),
        }
    }
}

/// Who opens the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The bridge: it alone leases, so it locks the store.
    Bridge,
    /// A command beside it.
    Operator,
}

/// What a store is like.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// The file.
    pub path: PathBuf,
    /// The schema version.
    pub schema: u32,
    /// The size of the file.
    pub bytes: u64,
    /// The size of the write-ahead log.
    pub log_bytes: u64,
    /// What stands where.
    pub counts: Counts,
}

/// What a migration did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Migrated {
    /// The schema it found; 0 if there was no store.
    pub from: u32,
    /// The schema it left.
    pub to: u32,
}

/// Makes the store if it is not there and brings it to the schema of this version. No bridge may
/// have it open.
pub fn migrate(settings: &Settings) -> Result<Migrated> {
    let lock = lock(&settings.path)?;
    let migrated = migrate_with(settings, MIGRATIONS);
    drop(lock);
    migrated
}

/// The schema that the store has (0 if there is none) and the one of this version. Makes nothing.
pub fn schemas(settings: &Settings) -> Result<(u32, u32)> {
    let known = version(MIGRATIONS.len());
    if !settings.path.exists() {
        return Ok((0, known));
    }
    let found = schema(&settings.path, &connect(settings, settings.cache_kib)?)?;
    check(&settings.path, found, known)?;
    Ok((found, known))
}

pub(super) fn migrate_with(settings: &Settings, migrations: &[&str]) -> Result<Migrated> {
    let mut connection = connect(settings, settings.cache_kib)?;
    let open = |why: rusqlite::Error| refused(&settings.path, why.to_string());
    let from = schema(&settings.path, &connection)?;
    let to = version(migrations.len());
    check(&settings.path, from, to)?;
    if from == 0 {
        connection.pragma_update(None, "page_size", 4096).map_err(open)?;
    }
    connection.pragma_update(None, "journal_mode", "wal").map_err(open)?;
    // A table that is made anew is dropped first, and others refer to it.
    connection.pragma_update(None, "foreign_keys", false).map_err(open)?;
    for (number, sql) in (1..).zip(migrations).skip(from as usize) {
        let step = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", number)?;
            point!("store.migrating");
            transaction.commit()
        };
        let mut step = step;
        step().map_err(|error| refused(&settings.path, format!("migration {number}: {error}")))?;
        point!("store.migrated", return Err(crate::points::full()));
    }
    Ok(Migrated { from, to })
}

/// Brings the store to the schema of this version, or says why not. An operator's command does not
/// make a store, and changes the schema of one only if no bridge has it.
pub(super) fn prepare(settings: &Settings, role: Role) -> Result<Option<File>> {
    match role {
        Role::Bridge => {
            let lock = lock(&settings.path)?;
            point!("store.locked");
            migrate_with(settings, MIGRATIONS)?;
            Ok(Some(lock))
        }
        Role::Operator => {
            if !settings.path.exists() {
                return Err(refused(&settings.path, "there is no store"));
            }
            let connection = connect(settings, settings.cache_kib)?;
            let found = schema(&settings.path, &connection)?;
            check(&settings.path, found, version(MIGRATIONS.len()))?;
            drop(connection);
            if found < version(MIGRATIONS.len()) {
                migrate(settings)?;
            }
            Ok(None)
        }
    }
}

/// The writer's connection.
pub(super) fn connect_writer(settings: &Settings) -> Result<Connection> {
    connect(settings, settings.cache_kib)
}

/// A connection that cannot write.
pub(super) fn connect_reader(settings: &Settings) -> Result<Connection> {
    let connection = connect(settings, settings.cache_kib / 4)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(settings: &Settings, cache_kib: u32) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&settings.path, flags)?;
        connection.busy_timeout(BUSY_MAX)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // Otherwise a statement whose plan might depend on a bound value, as with a partial index,
        // is parsed and planned anew each time another value is bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "synchronous", "full")?;
        // No row that is referred to is ever deleted; tests hold the invariants (`invariants.rs`),
        // and to look for a row's parents and children doubles the cost of writing it.
        connection.pragma_update(None, "foreign_keys", cfg!(debug_assertions))?;
        connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
        connection.pragma_update(None, "temp_store", "memory")?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        Ok(connection)
    };
    connect().map_err(|error| refused(&settings.path, error.to_string()))
}

/// The schema version of a store; 0 if it has none yet.
pub(super) fn schema(path: &Path, connection: &Connection) -> Result<u32> {
    let read = || -> rusqlite::Result<(i32, u32, i64)> {
        let application =
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let schema = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((application, schema, tables))
    };
    let (application, schema, tables) = read().map_err(|error| refused(path, error.to_string()))?;
    if application != APPLICATION && (schema > 0 || tables > 0) {
        return Err(refused(path, "it is an SQLite file, but not a store of tieline"));
    }
    Ok(schema)
}

fn check(path: &Path, found: u32, known: u32) -> Result<()> {
    if found > known {
        let why = format!(
            "the store has schema {found}, this tieline knows {known}; a newer tieline wrote it"
        );
        return Err(refused(path, why));
    }
    Ok(())
}

fn version(migrations: usize) -> u32 {
    u32::try_from(migrations).unwrap_or(u32::MAX)
}

/// Locks the store for one bridge. The lock is the operating system's: it ends with the process,
/// however that ends.
fn lock(path: &Path) -> Result<File> {
    let beside = lock_path(path);
    let failed = |error: std::io::Error| refused(path, format!("{}: {error}", beside.display()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&beside)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(failed)?;
            file.rewind().map_err(failed)?;
            writeln!(file, "{}", std::process::id()).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // On some systems a locked file cannot be read; then the owner stays unnamed.
            drop(file.read_to_string(&mut owner));
            let owner = match owner.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            Err(refused(path, format!("{owner} has it open as a bridge ({})", beside.display())))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

pub(super) fn refused(path: &Path, why: impl Into<String>) -> StoreError {
    StoreError::Open { at: path.display().to_string(), why: why.into() }
}
