use std::io::IsTerminal;
use std::path::Path;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use crate::failure::Failure;

/// A secret by the name of its variable: from the environment, or asked for where somebody sits at a terminal.
pub(crate) fn secret(variable: &str, what: &str) -> Result<SecretString, Failure> {
    if let Some(given) = given(variable)? {
        return Ok(given);
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::usage(format!(
            "{what} is missing: set {variable}; no argument takes a secret"
        )));
    }
    let typed = rpassword::prompt_password(format!("{what} ({variable} is not set): "))
        .map_err(|error| Failure::io("reading from the terminal", &error))?;
    if typed.is_empty() {
        return Err(Failure::usage(format!("{what} is missing")));
    }
    Ok(typed.into())
}

/// A secret by the name of its variable, where it is set. One that is set to nothing is a mistake.
pub(crate) fn given(variable: &str) -> Result<Option<SecretString>, Failure> {
    match std::env::var(variable) {
        Ok(value) if value.is_empty() => Err(Failure::usage(format!("{variable} is set to nothing"))),
        Ok(value) => Ok(Some(value.into())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{variable} is not UTF-8"))),
    }
}

/// A secret that is the whole of a file, which nobody but its owner may read.
pub(crate) fn from_file(path: &Path, what: &str) -> Result<SecretString, Failure> {
    refuse_shared(path, what)?;
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Failure::file("reading", path, &error))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::usage(format!(
            "{} is empty: it should hold {what}",
            path.display()
        )));
    }
    Ok(text.into())
}

#[cfg(unix)]
fn refuse_shared(path: &Path, what: &str) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;

    let mode = std::fs::metadata(path)
        .map_err(|error| Failure::file("reading", path, &error))?
        .permissions()
        .mode();
    if mode.trailing_zeros() >= 6 {
        // Nothing for the group, nothing for the others.
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{path} holds {what} and others may read it: chmod 600 {path}",
        path = path.display()
    )))
}

#[cfg(not(unix))]
fn refuse_shared(_: &Path, _: &str) -> Result<(), Failure> {
    Ok(())
}
