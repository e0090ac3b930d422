//! The end of a database.

use std::sync::PoisonError;

use super::{Cluster, DefineError, StoreError};

impl Cluster {
    /// Drops a database with its tables, rows and transactions; with `force` also unfinished ones.
    pub(crate) async fn drop_database(&self, name: &str, force: bool) -> Result<(), DefineError> {
        let unfinished = self.transactions().into_iter().find(|t| t.database == name && !t.state.is_finished());
        if let Some(unfinished) = unfinished.filter(|_| !force) {
            return Err(DefineError::Busy(format!("{name}.{}", unfinished.table)));
        }
        let dropped = {
            let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            catalog.tables.retain(|(database, _), _| database != name);
            catalog.stores.remove(name)
        };
        self.ledger().forget_database(name);
        let Some(store) = dropped else { return Ok(()) };
        let removed = tokio::task::spawn_blocking(move || store.remove()).await;
        Ok(removed.map_err(|error| StoreError(error.to_string()))??)
    }
}
