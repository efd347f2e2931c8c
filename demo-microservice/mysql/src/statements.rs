//! The prepared statements of one connection, the one used last in front.

use crate::results::{Columns, Definitions};
use std::collections::VecDeque;

const LIMIT: usize = 32;

#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) id: u32,
    pub(crate) parameters: usize,
    /// The columns that the last run gave, with the bytes that defined them.
    pub(crate) columns: Option<Definitions>,
}

#[derive(Debug, Default)]
pub(crate) struct Statements(VecDeque<(Box<str>, Statement)>);

impl Statements {
    /// Puts the statement for this text first, if it is known.
    pub(crate) fn find(&mut self, sql: &str) -> bool {
        let Some(at) = self.0.iter().position(|(text, _)| **text == *sql) else {
            return false;
        };
        if at > 0 {
            let entry = self.0.remove(at);
            self.0.extend(entry);
            self.0.rotate_right(1);
        }
        true
    }

    pub(crate) fn first(&self) -> Option<&Statement> {
        self.0.front().map(|(_, statement)| statement)
    }

    pub(crate) fn add(&mut self, sql: &str, statement: Statement) {
        self.0.push_front((sql.into(), statement));
    }

    pub(crate) fn forget_first(&mut self) {
        self.0.pop_front();
    }

    /// Makes room for one more: the id of a statement that the server may now forget.
    pub(crate) fn evict(&mut self) -> Option<u32> {
        if self.0.len() < LIMIT {
            return None;
        }
        self.0.pop_back().map(|(_, statement)| statement.id)
    }

    /// Keeps the columns of the statement that is first.
    pub(crate) fn remember(&mut self, definitions: &[u8], columns: &Columns) {
        if let Some((_, statement)) = self.0.front_mut() {
            statement.columns = Some((definitions.into(), columns.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(id: u32) -> Statement {
        Statement {
            id,
            parameters: 0,
            columns: None,
        }
    }

    #[test]
    fn what_is_found_is_first_and_stays() {
        let mut statements = Statements::default();
        for id in 0..3 {
            statements.add(&format!("SELECT {id}"), statement(id));
        }
        for id in [2, 2, 0, 0, 1, 2] {
            assert!(statements.find(&format!("SELECT {id}")));
            assert_eq!(statements.first().unwrap().id, id);
        }
    }

    #[test]
    fn the_statement_unused_for_longest_goes_first() {
        let mut statements = Statements::default();
        for id in 0..u32::try_from(LIMIT).unwrap() {
            assert_eq!(statements.evict(), None);
            statements.add(&format!("SELECT {id}"), statement(id));
        }
        assert!(statements.find("SELECT 0"));
        assert_eq!(statements.first().unwrap().id, 0);
        assert_eq!(statements.evict(), Some(1));
        assert!(!statements.find("SELECT 1"));
    }
}
