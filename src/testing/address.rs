//! Where a server is reached: connect options and URLs that lead to the same place.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The port of every private server. Its directory tells it from others, the port only names the socket file.
pub(super) const SOCKET_PORT: u16 = 5432;

/// Options for the superuser of the private server in `directory`.
pub(super) fn on_socket(directory: &Path) -> PgConnectOptions {
    // `host`, not `socket`: options that once had a socket cannot be pointed elsewhere.
    PgConnectOptions::new_without_pgpass()
        .host(&directory.to_string_lossy())
        .port(SOCKET_PORT)
        .username("postgres")
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
}

/// The socket file that the options lead to, if they do not lead to a TCP address.
pub(super) fn socket_file(options: &PgConnectOptions) -> Option<PathBuf> {
    let host = Path::new(options.get_host());
    let directory = options
        .get_socket()
        .map(PathBuf::as_path)
        .or_else(|| host.is_absolute().then_some(host))?;
    Some(directory.join(format!(".s.PGSQL.{}", options.get_port())))
}

/// A URL of `database` on the server of `options`, as their own user or as the one given with a password.
pub(super) fn url(options: &PgConnectOptions, login: Option<(&str, &str)>, database: &str) -> String {
    let user = encoded(login.map_or(options.get_username(), |(user, _)| user));
    if let Some(file) = socket_file(options) {
        let directory = file.parent().unwrap_or(Path::new("/")).to_string_lossy();
        let mut url = format!(
            "postgres:///{}?host={}&port={}&user={user}&sslmode=disable",
            encoded(database),
            encoded(&directory).replace("%2F", "/"),
            options.get_port(),
        );
        if let Some((_, password)) = login {
            url.push_str("&password=");
            url.push_str(&encoded(password));
        }
        return url;
    }
    // sqlx escapes the password alone.
    let mut options = options.clone().username(&user).database(&encoded(database));
    if let Some((_, password)) = login {
        options = options.password(password);
    }
    options.to_url_lossy().to_string()
}

/// The same options, for a server at a TCP address of this machine.
pub(super) fn redirected(base: PgConnectOptions, port: u16) -> PgConnectOptions {
    const HERE: &str = "127.0.0.1";
    let on_socket = socket_file(&base).is_some();
    let options = if base.get_socket().is_some() {
        // A socket cannot be taken out of options, so they are made anew from what can be read of them.
        let mut url = base
            .clone()
            .username(&encoded(base.get_username()))
            .to_url_lossy();
        let _ = url.set_host(Some(HERE));
        if let Some(options) = base.get_options() {
            url.query_pairs_mut().append_pair("options", options);
        }
        let options = PgConnectOptions::from_url(&url).unwrap_or(base.clone());
        match base.get_application_name() {
            Some(name) => options.application_name(name),
            None => options,
        }
    } else {
        base.host(HERE)
    };
    let options = options.port(port);
    if on_socket {
        options.ssl_mode(PgSslMode::Disable)
    } else {
        options
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_socket_reads_back() {
        let options = on_socket(Path::new("/tmp/a b"));
        let read: PgConnectOptions = url(&options, Some(("ro:le@x", "p w/%&")), "da/ta")
            .parse()
            .unwrap();
        assert_eq!(socket_file(&read), Some("/tmp/a b/.s.PGSQL.5432".into()));
        assert_eq!(read.get_username(), "ro:le@x");
        assert_eq!(read.get_database(), Some("da/ta"));
        assert!(format!("{read:?}").contains(r#"password: Some("p w/%&")"#));
    }

    #[test]
    fn url_of_a_tcp_server_reads_back() {
        let options: PgConnectOptions = "postgres://root:secret@db.example:6000/x?sslmode=require"
            .parse()
            .unwrap();
        let read: PgConnectOptions = url(&options, Some(("a@b", "c:d")), "e f").parse().unwrap();
        assert_eq!((read.get_host(), read.get_port()), ("db.example", 6000));
        assert_eq!((read.get_username(), read.get_database()), ("a@b", Some("e f")));
        assert!(format!("{read:?}").contains(r#"password: Some("c:d")"#));
        let own: PgConnectOptions = url(&options, None, "y").parse().unwrap();
        assert_eq!((own.get_username(), own.get_database()), ("root", Some("y")));
        assert!(format!("{own:?}").contains(r#"password: Some("secret")"#));
    }

    #[test]
    fn options_with_a_socket_can_be_redirected() {
        let base: PgConnectOptions = "postgres:///d?host=/run/pg&user=u@v&password=p%20w"
            .parse()
            .unwrap();
        let base = base.application_name("app").options([("search_path", "x")]);
        for options in [redirected(base, 99), redirected(on_socket(Path::new("/x")), 99)] {
            assert_eq!(socket_file(&options), None);
            assert_eq!((options.get_host(), options.get_port()), ("127.0.0.1", 99));
        }
        let base: PgConnectOptions = "postgres:///d?host=/run/pg&user=u@v&password=p%20w"
            .parse()
            .unwrap();
        let options = redirected(base.application_name("app").options([("search_path", "x")]), 99);
        assert_eq!(
            (options.get_username(), options.get_database()),
            ("u@v", Some("d"))
        );
        assert_eq!(
            (options.get_application_name(), options.get_options()),
            (Some("app"), Some("-c search_path=x"))
        );
        assert!(format!("{options:?}").contains(r#"password: Some("p w")"#));
    }
}
