//! The definition of a client in the database: how its row becomes a client.

use super::store::Row;
use crate::config::{Client, ClientBlock, Problem, Token};

/// What a definition is checked against.
#[derive(Clone, Copy, Debug)]
pub struct DefinitionContext<'a> {
    /// The lifetimes that a client does not define.
    pub token: &'a Token,
    pub public_url: &'a str,
}

impl DefinitionContext<'_> {
    /// Returns the client of a row, and warnings about it.
    ///
    /// # Errors
    /// The problems of the definition: another program or a newer release wrote the row.
    pub fn parse_row(self, row: &Row) -> Result<(Client, Vec<Problem>), Vec<Problem>> {
        match ClientBlock::from_definition(&row.client_id, &row.definition) {
            Some(block) => self.parse_block(block),
            None => {
                let hint = "write JSON with the keys of a block of [[clients]]";
                let problem = Problem::new("definition", "is not a JSON object", hint);
                Err(vec![problem])
            }
        }
    }

    /// Returns the client of a block, and warnings about it.
    pub fn parse_block(self, block: ClientBlock) -> Result<(Client, Vec<Problem>), Vec<Problem>> {
        block.into_client(self.token, self.public_url)
    }
}
