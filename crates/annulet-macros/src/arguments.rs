//! An attribute's arguments: `name = value`, with commas between them.

use proc_macro::{Span, TokenStream, TokenTree};

use crate::problem::Problem;

pub(crate) struct Arguments(Vec<(String, Span, Value)>);

/// What was given for an argument: one token.
pub(crate) struct Value(TokenTree);

impl Arguments {
    pub(crate) fn read(tokens: TokenStream) -> Result<Self, Problem> {
        let mut list: Vec<(String, Span, Value)> = Vec::new();
        let mut tokens = tokens.into_iter();
        while let Some(name) = tokens.next() {
            let span = name.span();
            let TokenTree::Ident(name) = name else {
                return Err(Problem::at(span, "an argument has the form `name = value`"));
            };
            let name = name.to_string();
            let value = match (tokens.next(), tokens.next()) {
                (Some(TokenTree::Punct(equals)), Some(value)) if equals.as_char() == '=' => Value(value),
                _ => return Err(Problem::at(span, format!("`{name}` needs a value: `{name} = …`"))),
            };
            if list.iter().any(|(other, ..)| *other == name) {
                return Err(Problem::at(span, format!("`{name}` is given twice")));
            }
            list.push((name, span, value));
            match tokens.next() {
                None => break,
                Some(TokenTree::Punct(comma)) if comma.as_char() == ',' => {}
                Some(other) => return Err(Problem::at(other.span(), "a comma is missing")),
            }
        }
        Ok(Self(list))
    }

    /// The arguments, if all of them are among these names.
    pub(crate) fn known(self, names: &[&str]) -> Result<impl Iterator<Item = (String, Value)>, Problem> {
        if let Some((name, span, _)) = self.0.iter().find(|(name, ..)| !names.contains(&name.as_str())) {
            let problem = format!("there is no argument `{name}`; there are `{}`", names.join("`, `"));
            return Err(Problem::at(*span, problem));
        }
        Ok(self.0.into_iter().map(|(name, _, value)| (name, value)))
    }

    /// That these two are not both given.
    pub(crate) fn exclusive(&self, one: &str, other: &str) -> Result<(), Problem> {
        let find = |wanted| self.0.iter().find(|(name, ..)| name == wanted);
        match (find(one), find(other)) {
            (Some((_, span, _)), Some(_)) => {
                Err(Problem::at(*span, format!("either `{one}` or `{other}`, not both")))
            }
            _ => Ok(()),
        }
    }
}

impl Value {
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::at(self.0.span(), message)
    }

    /// A whole number from `low` to `high`.
    pub(crate) fn number(&self, low: u64, high: u64) -> Result<u64, Problem> {
        let digits = match &self.0 {
            TokenTree::Literal(literal) => literal.to_string().replace('_', ""),
            _ => String::new(),
        };
        let number = digits.parse().ok().filter(|number| (low..=high).contains(number));
        number.ok_or_else(|| self.problem(format!("a whole number, {low} or more, is wanted here")))
    }

    /// A string.
    pub(crate) fn text(&self) -> Result<String, Problem> {
        let literal = self.0.to_string();
        let text = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        text.map(ToOwned::to_owned).ok_or_else(|| self.problem("a string is wanted here"))
    }

    /// A bare word.
    pub(crate) fn word(&self) -> Result<String, Problem> {
        match &self.0 {
            TokenTree::Ident(word) => Ok(word.to_string()),
            _ => Err(self.problem("a word without quotes is wanted here")),
        }
    }
}
