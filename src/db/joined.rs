//! Rows of several tables by one statement.
//!
//! The owner of a table adds its columns to the statement, under names with a prefix, and reads them
//! from the result: no module names the table of another (AR-12).

use std::sync::Arc;

use rusqlite::types::Value as Stored;
use sea_orm::{
    ActiveModelTrait, ColumnTrait as _, ColumnType, DbErr, EntityTrait, FromQueryResult as _,
    IdenStatic as _, Iterable as _, QueryResult, TryIntoModel, Value,
    sea_query::{Alias, Expr, SelectStatement},
};
use uuid::Uuid;

use crate::error::InfraError;

/// A row of tables that are joined.
#[derive(Debug)]
pub enum Row {
    /// As the driver of a database returned it.
    Driver(QueryResult),
    /// As a look-up on SQLite read it (`db/lookup.rs`).
    Own(OwnRow),
}

/// A row as SQLite stores it.
#[derive(Debug)]
pub struct OwnRow {
    names: Arc<[String]>,
    values: Vec<Stored>,
}

impl OwnRow {
    /// Copies a row whose columns have these names.
    pub(super) fn of(names: Arc<[String]>, row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let values = (0..names.len()).map(|index| row.get(index));
        let values = values.collect::<rusqlite::Result<_>>()?;
        Ok(Self { names, values })
    }

    /// Reads the columns of an entity, which stand one after the other.
    fn read<E>(&self, prefix: &str) -> Result<Option<E::Model>, DbErr>
    where
        E: EntityTrait,
        E::ActiveModel: ActiveModelTrait<Entity = E> + TryIntoModel<E::Model>,
    {
        let is_first =
            |name: &str, column: E::Column| name.strip_prefix(prefix) == Some(column.as_str());
        let Some(first) = E::Column::iter().next() else {
            return Ok(None);
        };
        let start = (self.names.iter().position(|name| is_first(name, first)))
            .ok_or_else(|| wrong_type(first.as_str()))?;
        let values = self.values.get(start..).unwrap_or_default();
        // An outer join that found none: no table of ours has a row without a first column.
        if matches!(values.first(), Some(Stored::Null)) {
            return Ok(None);
        }
        let mut model = <E::ActiveModel as ActiveModelTrait>::default();
        for (column, value) in E::Column::iter().zip(values) {
            let value = typed(column.def().get_column_type(), value)
                .ok_or_else(|| wrong_type(column.as_str()))?;
            model.try_set(column, value)?;
        }
        model.try_into_model().map(Some)
    }
}

/// Adds all columns of a table to a statement.
pub fn add_columns<E: EntityTrait>(select: &mut SelectStatement, prefix: &str) {
    for column in E::Column::iter() {
        let name = format!("{prefix}{}", column.as_str());
        let value = column.select_as(Expr::col(column.as_column_ref()));
        select.expr_as(value, Alias::new(name));
    }
}

/// Reads the row whose columns [`add_columns`] added; none if an outer join found none.
///
/// # Errors
/// A column has another type.
pub fn read<E>(row: &Row, prefix: &str) -> Result<Option<E::Model>, InfraError>
where
    E: EntityTrait,
    E::ActiveModel: ActiveModelTrait<Entity = E> + TryIntoModel<E::Model>,
{
    Ok(match row {
        Row::Driver(row) => Option::<E::Model>::from_query_result(row, prefix)?,
        Row::Own(row) => row.read::<E>(prefix)?,
    })
}

/// Gives a stored value the type of its column; none if it has another.
fn typed(column: &ColumnType, value: &Stored) -> Option<Value> {
    Some(match (column, value) {
        (ColumnType::Uuid, Stored::Null) => Value::Uuid(None),
        (ColumnType::Uuid, Stored::Blob(bytes)) => Value::Uuid(Some(Uuid::from_slice(bytes).ok()?)),
        (ColumnType::Integer, Stored::Null) => Value::Int(None),
        (ColumnType::Integer, Stored::Integer(number)) => {
            Value::Int(Some(i32::try_from(*number).ok()?))
        }
        (ColumnType::BigInteger, Stored::Null) => Value::BigInt(None),
        (ColumnType::BigInteger, Stored::Integer(number)) => Value::BigInt(Some(*number)),
        (ColumnType::Boolean, Stored::Null) => Value::Bool(None),
        (ColumnType::Boolean, Stored::Integer(number)) => Value::Bool(Some(*number != 0)),
        (ColumnType::Text | ColumnType::String(_), Stored::Null) => Value::String(None),
        (ColumnType::Text | ColumnType::String(_), Stored::Text(text)) => {
            Value::String(Some(text.clone()))
        }
        (ColumnType::Blob | ColumnType::VarBinary(_), Stored::Null) => Value::Bytes(None),
        (ColumnType::Blob | ColumnType::VarBinary(_), Stored::Blob(bytes)) => {
            Value::Bytes(Some(bytes.clone()))
        }
        _ => return None,
    })
}

fn wrong_type(column: &str) -> DbErr {
    DbErr::Type(format!(
        "the column {column} has another type than its table"
    ))
}
