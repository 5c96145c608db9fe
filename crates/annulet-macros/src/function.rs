//! The function an attribute stands before: its head, taken apart as far as a test needs.

use std::str::FromStr;

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

use crate::problem::Problem;

pub(crate) struct Function {
    attributes: Vec<TokenTree>,
    /// From `async` on.
    whole: Vec<TokenTree>,
    name: Ident,
    arguments: Group,
    /// `-> Type`, or nothing.
    output: Vec<TokenTree>,
}

const NO_FUNCTION: &str = "this attribute is for an `async fn`";

impl Function {
    pub(crate) fn read(item: TokenStream) -> Result<Self, Problem> {
        let mut tokens = item.into_iter().peekable();
        let mut attributes = Vec::new();
        while let Some(TokenTree::Punct(punct)) = tokens.peek()
            && punct.as_char() == '#'
        {
            attributes.extend(tokens.by_ref().take(2));
        }
        // Nobody else can call a test, whatever its visibility.
        let is_keyword = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(ident) if ident.to_string() == word);
        if tokens.next_if(|token| is_keyword(token, "pub")).is_some() {
            tokens.next_if(|token| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis));
        }
        let whole: Vec<TokenTree> = tokens.collect();
        let span = whole.first().map_or_else(Span::call_site, TokenTree::span);
        match whole.first() {
            Some(token) if is_keyword(token, "async") => {}
            Some(token) if is_keyword(token, "fn") => {
                return Err(Problem::at(span, "the function is not async: `async fn`"));
            }
            _ => return Err(Problem::at(span, NO_FUNCTION)),
        }
        match &whole[1..] {
            [
                keyword,
                TokenTree::Ident(name),
                TokenTree::Group(arguments),
                output @ ..,
                TokenTree::Group(body),
            ] if is_keyword(keyword, "fn") && body.delimiter() == Delimiter::Brace => {
                let (name, arguments, output) = (name.clone(), arguments.clone(), output.to_vec());
                Ok(Self { attributes, name, arguments, output, whole })
            }
            [keyword, TokenTree::Ident(name), ..] if is_keyword(keyword, "fn") => {
                Err(Problem::at(name.span(), "a test cannot be generic"))
            }
            _ => Err(Problem::at(span, NO_FUNCTION)),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.name.to_string()
    }

    pub(crate) fn takes_nothing(&self) -> bool {
        self.arguments.stream().is_empty()
    }

    pub(crate) fn arguments_span(&self) -> Span {
        self.arguments.span()
    }

    pub(crate) fn returns_something(&self) -> bool {
        !self.output.is_empty()
    }

    /// A test of the function's name that has the function inside and does `run` with it. It returns what the function
    /// returns, or nothing.
    pub(crate) fn into_test(self, run: &str, is_returning: bool) -> TokenStream {
        let code = |text: &str| TokenStream::from_str(text).expect("it is written here");
        let mut test = code("#[::core::prelude::v1::test]");
        test.extend(self.attributes);
        test.extend(code("fn"));
        test.extend([TokenTree::from(self.name)]);
        test.extend(code("()"));
        if is_returning {
            test.extend(self.output);
        }
        let mut body: TokenStream = self.whole.into_iter().collect();
        body.extend(code(run));
        test.extend([TokenTree::from(Group::new(Delimiter::Brace, body))]);
        test
    }
}
