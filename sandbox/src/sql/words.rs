//! A statement as words: what isn't a query is read token by token.

#![expect(clippy::wildcard_enum_match_arm, reason = "the enum is the tokenizer's, with a hundred kinds of token")]

use sqlparser::dialect::MySqlDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::error::SqlError;
use crate::table::EngineKind;

/// The tokens of one statement, read from the front.
#[derive(Debug)]
pub(crate) struct Words<'s> {
    pub(crate) kind: EngineKind,
    text: &'s str,
    tokens: Vec<TokenWithSpan>,
    at: usize,
}

impl<'s> Words<'s> {
    /// Cuts a statement into tokens; semicolons at its end don't count.
    ///
    /// # Errors
    /// When a token doesn't end, or there are several statements.
    pub(crate) fn of(kind: EngineKind, text: &'s str) -> Result<Self, SqlError> {
        let tokens = Tokenizer::new(&MySqlDialect {}, text).tokenize_with_location();
        let mut tokens = tokens.map_err(|e| SqlError::syntax(kind, &e.to_string()))?;
        tokens.retain(|t| !matches!(t.token, Token::Whitespace(_)));
        while tokens.last().is_some_and(|t| matches!(t.token, Token::SemiColon | Token::EOF)) {
            tokens.pop();
        }
        if tokens.iter().any(|t| t.token == Token::SemiColon) {
            return Err(SqlError::syntax(kind, "one statement at a time"));
        }
        Ok(Self { kind, text, tokens, at: 0 })
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::EOF, |t| &t.token)
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(crate) fn next_is(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// True if a query begins here.
    pub(crate) fn is_query(&self) -> bool {
        self.next_is("SELECT") || self.next_is("WITH") || *self.peek() == Token::LParen
    }

    pub(crate) fn take(&mut self, word: &str) -> bool {
        let found = self.next_is(word);
        self.at += usize::from(found);
        found
    }

    /// One of several words.
    pub(crate) fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(word))
    }

    /// All of several words, or none.
    pub(crate) fn take_all(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        let found = words.iter().all(|word| self.take(word));
        if !found {
            self.at = start;
        }
        found
    }

    pub(crate) fn take_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.take_token(token) { Ok(()) } else { self.expected(&token.to_string()) }
    }

    pub(crate) fn expected<T>(&self, what: &str) -> Result<T, SqlError> {
        Err(SqlError::syntax(
            self.kind,
            &format!("Unexpected input '{}', the most similar input is {{{what}}}", self.peek()),
        ))
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), SqlError> {
        if self.take(word) { Ok(()) } else { self.expected(word) }
    }

    /// Passes over what is left.
    pub(crate) fn take_to_end(&mut self) {
        self.at = self.tokens.len();
    }

    /// Nothing may follow.
    pub(crate) fn expect_end(&self) -> Result<(), SqlError> {
        if self.is_end() { Ok(()) } else { self.expected("<EOF>") }
    }

    /// A name, quoted or not.
    pub(crate) fn name(&mut self) -> Result<String, SqlError> {
        let Token::Word(word) = self.peek() else { return self.expected("a name") };
        let name = word.value.clone();
        self.at += 1;
        Ok(name)
    }

    /// `name`, `database.name` or `catalog.database.name`: the database if it is there, and the name.
    pub(crate) fn table_name(&mut self) -> Result<(Option<String>, String), SqlError> {
        let mut path = vec![self.name()?];
        while path.len() < 3 && self.take_token(&Token::Period) {
            path.push(self.name()?);
        }
        let name = path.pop().unwrap_or_default();
        Ok((path.pop(), name))
    }

    /// A text in quotes.
    pub(crate) fn text(&mut self) -> Result<String, SqlError> {
        let text = match self.peek() {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => text.clone(),
            _ => return self.expected("a string"),
        };
        self.at += 1;
        Ok(text)
    }

    /// True if a text in quotes is next.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.peek(), Token::SingleQuotedString(_) | Token::DoubleQuotedString(_))
    }

    /// A number, as written.
    pub(crate) fn number(&mut self) -> Result<String, SqlError> {
        let minus = if self.take_token(&Token::Minus) { "-" } else { "" };
        let Token::Number(digits, _) = self.peek() else { return self.expected("a literal") };
        let number = format!("{minus}{digits}");
        self.at += 1;
        Ok(number)
    }

    /// One value: a text, a number, or a word such as ON.
    pub(crate) fn value(&mut self) -> Result<String, SqlError> {
        let minus = if self.take_token(&Token::Minus) { "-" } else { "" };
        let value = match self.peek() {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => text.clone(),
            Token::Number(digits, _) => format!("{minus}{digits}"),
            Token::Word(word) => word.value.clone(),
            _ => return self.expected("a value"),
        };
        self.at += 1;
        Ok(value)
    }

    /// All that is left, as written.
    pub(crate) fn rest(&self) -> &'s str {
        let Some(token) = self.tokens.get(self.at) else { return "" };
        let offset = byte_offset(self.text, token.span.start);
        self.text.get(offset..).unwrap_or("").trim_end().trim_end_matches(';')
    }
}

/// The byte at which a line and a column, both counted from 1 in characters, begin.
fn byte_offset(text: &str, at: Location) -> usize {
    let (mut line, mut column) = (1, 1);
    for (offset, c) in text.char_indices() {
        if (line, column) == (at.line, at.column) {
            return offset;
        }
        if c == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_statement() {
        let mut words =
            Words::of(EngineKind::Doris, "/* ë */ show\n tables FROM `a b`.`c` where x = 'é;' ;; ").unwrap();
        assert!(words.take_all(&["SHOW", "TABLES", "FROM"]) && !words.take("x"));
        assert_eq!(words.table_name().unwrap(), (Some("a b".to_owned()), "c".to_owned()));
        assert_eq!(words.rest().trim(), "where x = 'é;'");
        assert!(words.expect_end().is_err());
        assert!(Words::of(EngineKind::Doris, "SELECT 1; DROP TABLE t").is_err());
        assert!(Words::of(EngineKind::Doris, "SELECT 'x").is_err());
        assert!(Words::of(EngineKind::Doris, " ; ").unwrap().is_end());
    }
}
