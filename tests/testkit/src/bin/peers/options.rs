//! What was asked for on the command line.

use std::{path::PathBuf, time::Duration};

pub(crate) struct Options {
    pub(crate) binary: PathBuf,
    /// Rounds that count.
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) connections: usize,
    /// Parts of the names of providers; none: all.
    pub(crate) only: Vec<String>,
}

impl Options {
    /// # Panics
    /// An argument is not known or lacks its value, or there is no binary.
    pub(crate) fn of_arguments(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut options = Self {
            binary: PathBuf::new(),
            rounds: 3,
            time: Duration::from_secs(3),
            connections: 16,
            only: Vec::new(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if !argument.starts_with('-') {
                let path = PathBuf::from(argument).canonicalize();
                options.binary = path.expect("the path of the built binary");
                continue;
            }
            let value = arguments.next();
            let value = value.unwrap_or_else(|| panic!("{argument} needs a value"));
            options.set(&argument, &value);
        }
        assert!(!options.binary.as_os_str().is_empty(), "no binary is named");
        assert!(options.rounds > 0, "--rounds needs at least one");
        options
    }

    fn set(&mut self, argument: &str, value: &str) {
        match argument {
            "--rounds" => self.rounds = value.parse().expect("a number of rounds"),
            "--seconds" => self.time = Duration::from_secs(value.parse().expect("seconds")),
            "--connections" => self.connections = value.parse().expect("a number of connections"),
            "--only" => self.only = value.split(',').map(str::to_lowercase).collect(),
            _ => panic!("{argument} is not known"),
        }
    }

    /// Whether the provider with this name is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_parts_of_names() {
        let read = |text: &str| Options::of_arguments(text.split(' ').map(str::to_owned));
        assert!(read("/bin/sh").wants("Dex, memory"));
        let options = read("/bin/sh --only dex,SQLite --rounds 1");
        assert!(options.wants("Dex, memory") && options.wants("Entree, SQLite"));
        assert!(!options.wants("Entree, PostgreSQL + Redis"));
        assert_eq!((options.rounds, options.connections), (1, 16));
    }
}
