//! What was asked for on the command line.

use std::{path::PathBuf, time::Duration};

use testkit::entree::Backend;

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Endpoints,
    FirstStart,
    Flood,
    Connections(usize),
    Flows(usize),
    Accounts(u32),
    Pools,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) binary: PathBuf,
    pub(crate) parts: Vec<Part>,
    pub(crate) time: Duration,
    pub(crate) callers: usize,
    pub(crate) backends: Vec<Backend>,
}

impl Options {
    /// # Panics
    /// An argument is not known or lacks its value, or there is no binary.
    pub(crate) fn of_arguments(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut options = Self {
            binary: PathBuf::new(),
            parts: Vec::new(),
            time: Duration::from_secs(5),
            callers: 16,
            backends: vec![Backend::Embedded, Backend::Servers],
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            options.take(&argument, &mut arguments);
        }
        if options.parts.is_empty() {
            options.parts = vec![Part::Endpoints, Part::FirstStart];
        }
        assert!(!options.binary.as_os_str().is_empty(), "no binary is named");
        options
    }

    fn take(&mut self, argument: &str, rest: &mut impl Iterator<Item = String>) {
        let mut value = || {
            let value = rest.next();
            value.unwrap_or_else(|| panic!("{argument} needs a value"))
        };
        match argument {
            "--seconds" => self.time = Duration::from_secs(number(argument, &value())),
            "--callers" => self.callers = number(argument, &value()),
            "--backend" => self.backends = vec![backend(&value())],
            "--endpoints" => self.parts.push(Part::Endpoints),
            "--first-start" => self.parts.push(Part::FirstStart),
            "--flood" => self.parts.push(Part::Flood),
            "--connections" => self
                .parts
                .push(Part::Connections(number(argument, &value()))),
            "--flows" => self.parts.push(Part::Flows(number(argument, &value()))),
            "--accounts" => self.parts.push(Part::Accounts(number(argument, &value()))),
            "--pools" => self.parts.push(Part::Pools),
            option if option.starts_with('-') => panic!("{option} is not known"),
            path => {
                let path = PathBuf::from(path).canonicalize();
                self.binary = path.expect("the path of the built binary");
            }
        }
    }
}

fn number<T: std::str::FromStr>(argument: &str, value: &str) -> T {
    let value = value.replace('_', "").parse();
    value.unwrap_or_else(|_| panic!("{argument} needs a number"))
}

fn backend(name: &str) -> Backend {
    match name {
        "embedded" => Backend::Embedded,
        "servers" => Backend::Servers,
        _ => panic!("--backend is `embedded` or `servers`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Options {
        Options::of_arguments(text.split(' ').map(str::to_owned))
    }

    #[test]
    fn parts_are_those_that_are_named_or_two() {
        assert_eq!(read("/bin/sh").parts, [Part::Endpoints, Part::FirstStart]);
        let options = read("/bin/sh --flood --connections 2_000 --seconds 3 --backend servers");
        assert_eq!(options.parts, [Part::Flood, Part::Connections(2_000)]);
        assert_eq!(options.time, Duration::from_secs(3));
        assert_eq!(options.backends, [Backend::Servers]);
    }

    /// SP-9: the size of the pool is measured on request.
    #[test]
    fn pools_are_a_part_of_their_own() {
        assert_eq!(read("/bin/sh --pools").parts, [Part::Pools]);
    }

    #[test]
    #[should_panic(expected = "--fast is not known")]
    fn an_option_that_is_not_known_stops_the_run() {
        read("/bin/sh --fast");
    }
}
