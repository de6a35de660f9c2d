//! Rotation of the signing keys: by time, on command, and in an emergency. Keys are made before the
//! lock is held.

use entity::signing_key::{Column, Entity as Row, State};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};

use super::{
    keys::Keys,
    lifecycle::{self, KeyChange},
    public::alg_name,
    row::{ALGS, make_key},
    seal,
};
use crate::{config::Alg, error::InfraError};

impl Keys {
    /// Publishes a successor of the active `alg` key, which signs after 24 h, and returns its name.
    /// Returns nothing if one is pending already: instances and operators that rotate at the same
    /// time get one key.
    pub async fn rotate(&self, alg: Alg) -> Result<Option<String>, InfraError> {
        let new_key = make_key(alg, self.master()).await?;
        let kid = new_key.kid().to_owned();
        let tx = self.db().begin().await?;
        let published = lifecycle::publish_successor(&tx, new_key).await?;
        tx.commit().await?;
        self.reload().await?;
        Ok(published.then_some(kid))
    }

    /// Makes the changes that are due and publishes successors, for a job that runs every few
    /// minutes on each instance.
    ///
    /// # Errors
    /// What was committed before stays.
    pub async fn advance(&self) -> Result<Vec<KeyChange>, InfraError> {
        let tx = self.db().begin().await?;
        let mut changes = lifecycle::advance(&tx).await?;
        let algs = lifecycle::algs_without_successor(&tx).await?;
        tx.commit().await?;
        for alg in algs {
            changes.extend(
                self.rotate(alg)
                    .await?
                    .map(|kid| KeyChange::new(kid, State::Pending)),
            );
        }
        if !changes.is_empty() {
            self.reload().await?;
        }
        Ok(changes)
    }

    /// Removes a key from the JWKS at once, here with this call and on other instances with their
    /// next reload, and destroys its private part. If it was active, a successor signs at once.
    /// Returns nothing if there is no such key or it is compromised already.
    pub async fn compromise(&self, kid: &str) -> Result<Vec<KeyChange>, InfraError> {
        let Some(row) = Row::find_by_id(kid).one(self.db().read()).await? else {
            return Ok(Vec::new());
        };
        let Some(alg) = ALGS.into_iter().find(|&alg| alg_name(alg) == row.alg) else {
            return Ok(Vec::new());
        };
        let spare = make_key(alg, self.master()).await?;
        let tx = self.db().begin().await?;
        let changes = lifecycle::compromise(&tx, kid, spare).await?;
        tx.commit().await?;
        self.reload().await?;
        Ok(changes)
    }

    /// Wraps every data key anew under the current master key and returns how many changed.
    /// Afterwards signing keys need no older master key.
    ///
    /// # Errors
    /// [`InfraError::Internal`] for a row that no loaded master key opens. Nothing is committed
    /// then.
    pub async fn rewrap(&self) -> Result<u64, InfraError> {
        let tx = self.db().begin().await?;
        lifecycle::lock(&tx).await?;
        let mut changed = 0;
        for row in Row::find()
            .filter(Column::WrappedDataKey.is_not_null())
            .all(tx.conn())
            .await?
        {
            let alg = ALGS.into_iter().find(|&alg| alg_name(alg) == row.alg);
            let wrapped = alg
                .zip(row.wrapped_data_key)
                .and_then(|(alg, data_key)| seal::rewrap(self.master(), &row.kid, alg, &data_key))
                .ok_or_else(|| {
                    InfraError::internal(format!("no master key opens signing key {}", row.kid))
                })?;
            let update = Row::update_many().col_expr(Column::WrappedDataKey, Expr::value(wrapped));
            changed += update
                .filter(Column::Kid.eq(row.kid))
                .exec(tx.conn())
                .await?
                .rows_affected;
        }
        tx.commit().await?;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests;
