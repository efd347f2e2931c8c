//! What the program is asked to do, by arguments and environment.

use std::fmt;

/// What `--version` prints.
pub const VERSION: &str = concat!("static-server ", env!("CARGO_PKG_VERSION"));
/// What `--help` prints.
pub const HELP: &str = "\
Usage: static-server [--root DIR] [--port PORT]

  --root DIR    the folder to serve; else $ROOT, else the first of
                /usr/share/nginx/html and /srv that exists
  --port PORT   the port to listen at; else $PORT, else 80
  --version     print the version
  --help        print this
";

const DEFAULT_PORT: u16 = 80;
/// Where compose files made for nginx mount their files comes first.
const DEFAULT_ROOTS: [&str; 2] = ["/usr/share/nginx/html", "/srv"];

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve files.
    Serve(Config),
    /// Print [`VERSION`].
    Version,
    /// Print [`HELP`].
    Help,
}

/// What to serve and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder.
    pub root: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// Why a command can't be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Command {
    /// Reads the arguments (without the program's name) and the environment.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with what is wrong, in one line.
    pub fn parse(
        args: impl Iterator<Item = String>,
        variable: impl Fn(&str) -> Option<String>,
        is_folder: impl Fn(&str) -> bool,
    ) -> Result<Self, Invalid> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (mut root, mut port) = (given("ROOT"), given("PORT"));
        let mut args = args;
        while let Some(arg) = args.next() {
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (arg.as_str(), None),
            };
            let place = match name {
                "--version" => return Ok(Self::Version),
                "--help" => return Ok(Self::Help),
                "--root" => &mut root,
                "--port" => &mut port,
                _ => return Err(Invalid(format!("unknown argument {arg:?}, see --help"))),
            };
            let value = inline.or_else(|| args.next());
            *place = Some(value.ok_or_else(|| Invalid(format!("{name} needs a value")))?);
        }
        let port = port.map_or(Ok(DEFAULT_PORT), |port| {
            let wrong = |_| Invalid(format!("no port number: {port:?}"));
            port.parse().map_err(wrong)
        })?;
        let root = find_root(root, is_folder)?;
        Ok(Self::Serve(Config { root, port }))
    }
}

fn find_root(given: Option<String>, is_folder: impl Fn(&str) -> bool) -> Result<String, Invalid> {
    if let Some(root) = given {
        return if is_folder(&root) {
            Ok(root)
        } else {
            Err(Invalid(format!(
                "{root} is no folder: mount the files there"
            )))
        };
    }
    let found = DEFAULT_ROOTS.into_iter().find(|root| is_folder(root));
    found.map(str::to_owned).ok_or_else(|| {
        let roots = DEFAULT_ROOTS.join(" nor ");
        Invalid(format!(
            "neither {roots} is there: mount the files at one, or set ROOT"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::{Command, Config};

    fn parse(args: &[&str], env: &[(&str, &str)], folders: &[&str]) -> Result<Command, String> {
        let variable = |name: &str| {
            let known = env.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| (*value).to_owned())
        };
        let args = args.iter().map(|arg| (*arg).to_owned());
        Command::parse(args, variable, |path| folders.contains(&path)).map_err(|e| e.to_string())
    }

    fn serve(root: &str, port: u16) -> Command {
        let root = root.to_owned();
        Command::Serve(Config { root, port })
    }

    #[test]
    fn the_first_default_folder_that_exists_is_served() {
        let (nginx, srv) = ("/usr/share/nginx/html", "/srv");
        assert_eq!(parse(&[], &[], &[srv, nginx]), Ok(serve(nginx, 80)));
        assert_eq!(parse(&[], &[], &[srv]), Ok(serve(srv, 80)));
        assert!(parse(&[], &[], &[]).unwrap_err().contains(srv));
    }

    #[test]
    fn arguments_win_over_the_environment() {
        let env = [("ROOT", "/a"), ("PORT", "81")];
        let folders = ["/a", "/b"];
        assert_eq!(parse(&[], &env, &folders), Ok(serve("/a", 81)));
        let args = ["--root=/b", "--port", "82"];
        assert_eq!(parse(&args, &env, &folders), Ok(serve("/b", 82)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folders = ["/srv"];
        assert!(
            parse(&["--prot"], &[], &folders)
                .unwrap_err()
                .contains("--prot")
        );
        assert!(
            parse(&["--port"], &[], &folders)
                .unwrap_err()
                .contains("value")
        );
        assert!(
            parse(&[], &[("PORT", "x1")], &folders)
                .unwrap_err()
                .contains("x1")
        );
        assert!(
            parse(&[], &[("ROOT", "/no")], &folders)
                .unwrap_err()
                .contains("/no")
        );
    }

    #[test]
    fn version_and_help_need_no_folder() {
        assert_eq!(parse(&["--version"], &[], &[]), Ok(Command::Version));
        assert_eq!(parse(&["--help"], &[], &[]), Ok(Command::Help));
    }
}
