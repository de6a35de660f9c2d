//! `local-cert DIRECTORY NAME…`: writes `cert.pem`, `key.pem` and `ca.pem` for servers of these names.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use local_cert::Authority;

#[allow(clippy::print_stderr, reason = "a tool for the terminal")]
fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (folder, names) = (
        arguments.next().map(PathBuf::from),
        arguments.collect::<Vec<_>>(),
    );
    let (Some(folder), false) = (folder, names.is_empty()) else {
        eprintln!("local-cert DIRECTORY NAME…");
        return ExitCode::from(2);
    };
    match write(
        &folder,
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-cert: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, names: &[&str]) -> io::Result<()> {
    let authority = Authority::new().map_err(io::Error::other)?;
    let pair = authority.issue(names).map_err(io::Error::other)?;
    fs::create_dir_all(folder)?;
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("key.pem", pair.key),
        ("cert.pem", pair.cert),
    ] {
        let next = folder.join(format!("{name}.new"));
        // What an earlier try left behind may be open to others.
        let _ = fs::remove_file(&next);
        create(&next, &text)?;
        fs::rename(next, folder.join(name))?;
    }
    Ok(())
}

/// A file for its owner alone.
fn create(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
