//! Calls of functions: which one, with whose client.

use proptest::prelude::*;
use proptest::sample::subsequence;
use uuid::Uuid;

use super::sql::{Token, name, places, tokens};
use super::{OWN, On, config, db};
use crate::database::Mode;
use crate::error::{Error, MaybeClient, Result};
use crate::query::Rpc;
use crate::schema::{CLIENT_PARAMETER, Catalogue};

/// As the terminal verbs do.
fn spelt(mut call: Rpc<'_>, catalogue: &Catalogue, on: On) -> Result<(String, Mode)> {
    call.source.take_error()?;
    let (spelt, mode) = call.spell(catalogue, on == On::Pool)?;
    Ok((spelt.sql, mode))
}

/// A catalogue of the functions f, each by its parameters and how many of the last have defaults.
fn functions(signatures: &[(&[&str], i16)]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for (parameters, defaults) in signatures {
        catalogue.add_function("f", parameters, *defaults, &[], |_| {});
    }
    catalogue
}

fn on_pool(call: Rpc<'_>, catalogue: &Catalogue) -> String {
    spelt(call, catalogue, On::Pool).unwrap().0
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_client_is_supplied_where_it_is_taken_and_every_argument_goes_by_its_name(
        given in subsequence(vec!["a", "b", "Odd \"one\"", "d"], 0..=4).prop_shuffle(),
        takes_client: bool,
        says_own: bool,
        pool: bool,
    ) {
        let on = if pool { On::Pool } else { On::Dedicated };
        let mut parameters = vec!["a", "b", "Odd \"one\"", "d"];
        if takes_client {
            parameters.insert(0, CLIENT_PARAMETER);
        }
        let catalogue = functions(&[(&parameters, 4)]);
        let mut call = db().rpc("f");
        for parameter in &given {
            call = call.arg(*parameter, 1);
        }
        if says_own {
            call = call.arg(CLIENT_PARAMETER, OWN);
        }
        let (sql, mode) = spelt(call, &catalogue, on).unwrap();
        let tokens = tokens(&sql);
        prop_assert_eq!(mode, Mode::ReadOnly);
        let client = usize::from(takes_client);
        prop_assert_eq!(places(&tokens), (1..=given.len() + client).collect::<Vec<_>>(), "{}", sql);
        for (at, token) in tokens.iter().enumerate() {
            let Token::Place(place) = token else { continue };
            let parameter = match place {
                1 if takes_client => name(CLIENT_PARAMETER),
                place if given[place - 1 - client].contains('"') => name("\"Odd \"\"one\"\"\""),
                place => name(given[place - 1 - client]),
            };
            prop_assert_eq!(&tokens[at - 3..at], &[parameter, Token::Mark('='), Token::Mark('>')], "{}", sql);
        }
    }

    #[test]
    fn the_one_overload_that_takes_the_arguments_is_called(
        overloads in prop::collection::hash_set(subsequence(vec!["a", "b", "c", "d"], 0..=4), 1..5),
        given in subsequence(vec!["a", "b", "c", "d"], 0..=4),
    ) {
        // None has defaults, so one fits whose parameters are just the given.
        let overloads: Vec<_> = overloads.into_iter().collect();
        let mut catalogue = Catalogue::default();
        for parameters in &overloads {
            let which = parameters.join("_");
            catalogue.add_function("f", parameters, 0, &[], |f| f.sql = format!("public.f_{which}"));
        }
        let mut call = db().rpc("f");
        for parameter in &given {
            call = call.arg(*parameter, 1);
        }
        let called = spelt(call, &catalogue, On::Pool);
        if overloads.contains(&given) {
            let sql = called.unwrap().0;
            prop_assert!(sql.starts_with(&format!("select * from public.f_{}(", given.join("_"))), "{}", sql);
        } else {
            let error = called.unwrap_err();
            prop_assert!(matches!(error, Error::UnknownFunction { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_function_or_parameter_that_the_catalogue_does_not_know_is_never_spelt(given: String) {
        prop_assume!(!["f", "a", CLIENT_PARAMETER].contains(&given.as_str()));
        let catalogue = functions(&[(&["a", CLIENT_PARAMETER], 2)]);
        for error in [
            spelt(db().rpc(given.as_str()), &catalogue, On::Pool).unwrap_err(),
            spelt(db().rpc("f").arg("a", 1).arg(given.as_str(), 1), &catalogue, On::Dedicated).unwrap_err(),
        ] {
            prop_assert!(matches!(error, Error::UnknownFunction { .. }), "{error:?}");
        }
    }

    #[test]
    fn another_client_is_refused_as_an_argument(id: u128, pool: bool) {
        let id = Uuid::from_u128(id);
        prop_assume!(id != OWN);
        let on = if pool { On::Pool } else { On::Dedicated };
        // Whether the function takes it or not.
        for parameters in [&[CLIENT_PARAMETER][..], &["a"]] {
            let catalogue = functions(&[(parameters, 1)]);
            for call in [
                db().rpc("f").arg(CLIENT_PARAMETER, id),
                db().rpc("f").arg(CLIENT_PARAMETER, OWN).arg(CLIENT_PARAMETER, id.to_string()),
            ] {
                let error = spelt(call, &catalogue, on).unwrap_err();
                prop_assert!(
                    matches!(&error, Error::ForeignClient { given: MaybeClient(Some(given)), .. } if *given == id),
                    "{error:?}"
                );
            }
        }
    }
}

#[test]
fn a_call_as_it_is_sent() {
    let mut catalogue = Catalogue::default();
    let parameters = [CLIENT_PARAMETER, "p_slug", "p_count"];
    catalogue.add_function("match", &parameters, 1, &["client_id", "id", "Odd one"], |_| {});
    let call = db().rpc("match").arg("p_count", 5).arg("p_slug", "guide");
    assert_eq!(
        on_pool(call, &catalogue),
        "select id, \"Odd one\" from public.match(p_client_id => $1, p_count => $2, p_slug => $3)"
    );
}

#[test]
fn a_procedure_is_called_and_what_may_write_is_not_read_only() {
    let mut catalogue = Catalogue::default();
    catalogue.add_function("tidy", &["a"], 0, &[], |function| {
        function.is_procedure = true;
        function.writes = true;
    });
    let called = spelt(db().rpc("tidy").arg("a", 1), &catalogue, On::Pool).unwrap();
    assert_eq!(called, ("call public.tidy(a => $1)".to_owned(), Mode::ReadWrite));
}

#[test]
fn a_function_with_its_owners_rights_is_refused_on_a_pool_alone() {
    let mut catalogue = Catalogue::default();
    catalogue.add_function("f", &["a"], 0, &[], |function| function.security_definer = true);
    let call = || db().rpc("f").arg("a", 1);
    let error = spelt(call(), &catalogue, On::Pool).unwrap_err();
    assert!(
        matches!(error, Error::StatementRefused { reason, .. } if reason.contains("owner's rights")),
        "{error:?}"
    );
    assert_eq!(
        spelt(call(), &catalogue, On::Dedicated).unwrap().0,
        "select * from public.f(a => $1)"
    );
}

#[test]
fn a_call_that_fits_several_overloads_is_refused() {
    let catalogue = functions(&[(&["a"], 0), (&["a", "b"], 1)]);
    let error = spelt(db().rpc("f").arg("a", 1), &catalogue, On::Pool).unwrap_err();
    assert!(
        matches!(error, Error::StatementRefused { reason, .. } if reason.contains("several functions")),
        "{error:?}"
    );
    let call = db().rpc("f").arg("a", 1).arg("b", 2);
    assert_eq!(
        on_pool(call, &catalogue),
        "select * from public.f(a => $1, b => $2)"
    );
}

#[test]
fn a_required_parameter_that_is_missing_is_told_with_those_that_there_are() {
    let catalogue = functions(&[(&[CLIENT_PARAMETER, "a", "b"], 1)]);
    let error = spelt(db().rpc("f").arg("b", 1), &catalogue, On::Pool).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("client {OWN}: no function f(b) (the nearest is f(a, b))")
    );
}
