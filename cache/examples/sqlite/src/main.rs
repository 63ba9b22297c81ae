//! An implementation of one's own in some thirty lines: entries in a table of SQLite.
//!
//! Prints what a second process finds: `cargo run -p cache-in-sqlite -- FILE`, twice.

#![expect(clippy::disallowed_macros, reason = "a program, which tells what it found")]

use precompile_cache::{Cache, Content, Error, Key, Layers, Outcome, Result, Sibling, TrustAnyone};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A cache in a database.
struct Sqlite(Mutex<Connection>);

impl Sqlite {
    fn open(path: &Path) -> rusqlite::Result<Sqlite> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.execute_batch(
            "pragma journal_mode = wal;
             create table if not exists entry (family blob, id blob, content blob not null,
                 description blob not null, primary key (family, id)) without rowid;",
        )?;
        Ok(Sqlite(Mutex::new(connection)))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |error| Error::io(operation, None, std::io::Error::other(error))
}

impl Cache for Sqlite {
    fn get(&self, key: &Key) -> Result<Option<Content>> {
        let query = "select content from entry where family = ? and id = ?";
        let row = |row: &rusqlite::Row<'_>| row.get::<_, Vec<u8>>(0);
        let found = self.lock().query_row(query, params![key.group(), key.id()], row).optional();
        Ok(found.map_err(failed("read the table"))?.map(Content::from_bytes))
    }

    fn add(&self, key: &Key, content: &Content, description: &[u8]) -> Result<()> {
        let bytes = content.to_vec().map_err(|error| Error::io("read the content", None, error))?;
        let values = params![key.group(), key.id(), bytes, description];
        let added = self.lock().execute("insert or replace into entry values (?, ?, ?, ?)", values);
        added.map(|_| ()).map_err(failed("write to the table"))
    }

    fn delete(&self, key: &Key) -> Result<()> {
        let query = "delete from entry where family = ? and id = ?";
        let deleted = self.lock().execute(query, params![key.group(), key.id()]);
        deleted.map(|_| ()).map_err(failed("delete from the table"))
    }

    fn siblings(&self, group: &[u8; 32]) -> Result<Vec<Sibling>> {
        let connection = self.lock();
        let query = "select id, description from entry where family = ? order by id";
        let siblings = connection.prepare(query).and_then(|mut statement| {
            let row = |row: &rusqlite::Row<'_>| {
                Ok(Sibling::new(row.get::<_, [u8; 32]>(0)?, row.get::<_, Vec<u8>>(1)?))
            };
            statement.query_map([group], row)?.collect()
        });
        siblings.map_err(failed("list the table"))
    }
}

fn main() {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| "cache.sqlite".into());
    let cache = Arc::new(Sqlite::open(Path::new(&path)).expect("a database"));
    // Whoever can write to the file has what is in it used: this says that it is all right.
    let promise = TrustAnyone::i_vouch_for_every_writer();
    let layers = Layers::builder().dangerously_read_write(cache, promise).build();
    let key = Key::new([1; 32], [2; 32]);
    match layers.lookup(&key).outcome {
        Outcome::Hit { content, .. } => println!("hit: {} bytes", content.len()),
        Outcome::Miss(reason) => {
            println!("miss: {reason}");
            let content = Content::from_bytes(b"made with much effort".to_vec());
            assert!(layers.publish(&key, &content, b"").is_none(), "it was added");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_the_trait_says() {
        precompile_cache::testing::conformance(|| {
            Box::new(Sqlite::open(Path::new(":memory:")).expect("a database"))
        });
    }
}
