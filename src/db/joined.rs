//! Rows of several tables by one statement.
//!
//! The owner of a table adds its columns to the statement, under names with a prefix, and reads them
//! from the result: no module names the table of another (AR-12).

use sea_orm::{
    ColumnTrait as _, EntityTrait, FromQueryResult, IdenStatic as _, Iterable as _, QueryResult,
    sea_query::{Alias, Expr, SelectStatement},
};

use crate::error::InfraError;

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
pub fn read<M: FromQueryResult>(row: &QueryResult, prefix: &str) -> Result<Option<M>, InfraError> {
    Ok(Option::<M>::from_query_result(row, prefix)?)
}
