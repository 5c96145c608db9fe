//! What is wrong, told where it is.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

pub(crate) struct Problem {
    span: Span,
    message: String,
}

impl Problem {
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// `::core::compile_error! { "message" }`.
    fn into_error(self) -> TokenStream {
        let Self { span, message } = self;
        let colons =
            || [Punct::new(':', Spacing::Joint), Punct::new(':', Spacing::Alone)].map(TokenTree::from);
        let mut tokens: Vec<TokenTree> = Vec::new();
        tokens.extend(colons());
        tokens.push(Ident::new("core", span).into());
        tokens.extend(colons());
        tokens.push(Ident::new("compile_error", span).into());
        tokens.push(Punct::new('!', Spacing::Alone).into());
        tokens.push(Group::new(Delimiter::Brace, TokenTree::from(Literal::string(&message)).into()).into());
        for token in &mut tokens {
            token.set_span(span);
        }
        tokens.into_iter().collect()
    }
}

pub(crate) fn or_error(result: Result<TokenStream, Problem>) -> TokenStream {
    result.unwrap_or_else(Problem::into_error)
}
