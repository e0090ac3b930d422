//! From words to a compiled expression. A mistake is told with its place.

use regex::{Regex, RegexBuilder};

use super::functions::{self, Argument};
use super::lex::{Token, Word, words};
use super::value::{Kind, Value};
use super::{Compiled, Condition, Expr, GRAMMAR, Meta, Mistake, Places};

/// Deepest nesting of parentheses, functions and `not`.
const DEPTH_MAX: usize = 64;

/// Compiles an expression of any kind.
pub(super) fn value(text: &str, places: Places<'_>) -> Result<Compiled, Mistake> {
    compiled(text, places, |read| Ok(read.expr))
}

/// Compiles an expression that is true, false or null.
pub(super) fn condition(text: &str, places: Places<'_>) -> Result<Compiled, Mistake> {
    compiled(text, places, Argument::condition)
}

fn compiled(
    text: &str,
    places: Places<'_>,
    accept: fn(Argument) -> Result<Expr, Mistake>,
) -> Result<Compiled, Mistake> {
    let mut parser = Parser { words: words(text)?, next: 0, depth: 0, places, reads_value: false };
    if parser.peek() == &Word::End {
        return Err(Mistake::new(0, "the expression is empty", GRAMMAR));
    }
    let read = parser.any()?;
    parser.end()?;
    Ok(Compiled { expr: accept(read)?, reads_value: parser.reads_value })
}

struct Parser<'t, 'p> {
    words: Vec<Token<'t>>,
    next: usize,
    depth: usize,
    places: Places<'p>,
    reads_value: bool,
}

impl<'t> Parser<'t, '_> {
    /// The last word is the end, which is never passed.
    fn peek(&self) -> &Word<'t> {
        self.words.get(self.next).map_or(&Word::End, |token| &token.word)
    }

    fn at(&self) -> usize {
        self.words.get(self.next).map_or(0, |token| token.at)
    }

    fn take(&mut self) -> (usize, Word<'t>) {
        let (at, word) = (self.at(), self.peek().clone());
        if word != Word::End {
            self.next += 1;
        }
        (at, word)
    }

    fn passes(&mut self, word: &Word<'_>) -> bool {
        let passes = self.peek() == word;
        self.next += usize::from(passes);
        passes
    }

    /// Passes a keyword, in whatever case.
    fn keyword(&mut self, keyword: &str) -> bool {
        let passes = matches!(self.peek(), Word::Name(name) if name.eq_ignore_ascii_case(keyword));
        self.next += usize::from(passes);
        passes
    }

    fn need(&mut self, word: &Word<'_>, what: &str) -> Result<(), Mistake> {
        if self.passes(word) { Ok(()) } else { Err(self.expected(what)) }
    }

    fn expected(&self, what: &str) -> Mistake {
        let found = match self.peek() {
            Word::End => "the end".to_owned(),
            Word::Name(name) => format!("`{name}`"),
            Word::Text(_) => "a text".to_owned(),
            Word::Number(digits) => format!("the number {digits}"),
            Word::Path(path) => format!("the path {path}"),
            Word::Meta(name) => format!("`@{name}`"),
            Word::Open => "`(`".to_owned(),
            Word::Close => "`)`".to_owned(),
            Word::Comma => "a comma".to_owned(),
            Word::Compare(_) => "a comparison".to_owned(),
        };
        Mistake::new(self.at(), format!("expected {what}, found {found}"), GRAMMAR)
    }

    fn end(&self) -> Result<(), Mistake> {
        if self.peek() == &Word::End { Ok(()) } else { Err(self.expected("an operator or the end")) }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Mistake>) -> Result<T, Mistake> {
        if self.depth == DEPTH_MAX {
            let what = format!("nested more than {DEPTH_MAX} levels deep");
            return Err(Mistake::new(self.at(), what, "divide it among several columns or routes"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn any(&mut self) -> Result<Argument, Mistake> {
        self.chain("or", Self::all, Condition::Any)
    }

    fn all(&mut self) -> Result<Argument, Mistake> {
        self.chain("and", Self::not, Condition::All)
    }

    fn chain(
        &mut self,
        keyword: &str,
        read: fn(&mut Self) -> Result<Argument, Mistake>,
        make: fn(Vec<Expr>) -> Condition,
    ) -> Result<Argument, Mistake> {
        let first = read(self)?;
        if !matches!(self.peek(), Word::Name(name) if name.eq_ignore_ascii_case(keyword)) {
            return Ok(first);
        }
        let at = first.at;
        let mut sides = vec![first.condition()?];
        while self.keyword(keyword) {
            sides.push(read(self)?.condition()?);
        }
        Ok(truth(make(sides), at))
    }

    fn not(&mut self) -> Result<Argument, Mistake> {
        let at = self.at();
        if self.keyword("not") {
            let inner = self.deeper(Self::not)?.condition()?;
            return Ok(truth(Condition::Not(inner), at));
        }
        self.compared()
    }

    fn compared(&mut self) -> Result<Argument, Mistake> {
        let left = self.operand()?;
        let at = left.at;
        if let Word::Compare(compare) = *self.peek() {
            self.next += 1;
            let right = self.operand()?;
            return Ok(truth(Condition::Compare(compare, left.expr, right.expr), at));
        }
        if self.keyword("is") {
            let inverted = self.keyword("not");
            if !self.keyword("null") {
                return Err(self.expected("`null`"));
            }
            return Ok(inverted_if(inverted, truth(Condition::IsNull(left.expr), at)));
        }
        let inverted = self.keyword("not");
        let Argument { expr: left, kind, .. } = left;
        let found = if self.keyword("in") {
            Condition::In(left, self.list()?)
        } else if self.keyword("like") {
            Condition::Matches(left, self.pattern(like)?)
        } else if self.keyword("matches") {
            Condition::Matches(left, self.pattern(str::to_owned)?)
        } else if inverted {
            return Err(self.expected("`in`, `like` or `matches`"));
        } else {
            return Ok(Argument { expr: left, kind, at });
        };
        Ok(inverted_if(inverted, truth(found, at)))
    }

    fn list(&mut self) -> Result<Vec<Expr>, Mistake> {
        self.need(&Word::Open, "`(` and the values")?;
        let mut list = Vec::new();
        loop {
            list.push(self.deeper(Self::operand)?.expr);
            if !self.passes(&Word::Comma) {
                break;
            }
        }
        self.need(&Word::Close, "a comma or `)`")?;
        Ok(list)
    }

    fn pattern(&mut self, regex: impl Fn(&str) -> String) -> Result<Regex, Mistake> {
        let (at, word) = self.take();
        let Word::Text(pattern) = word else {
            return Err(Mistake::new(at, "expected a pattern in quotes", "$.name like 'a%', $.name matches '^a'"));
        };
        RegexBuilder::new(&regex(&pattern)).build().map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Mistake::new(
                at,
                format!("no regular expression: {reason}"),
                "'^ab.*' as in RE2, Go and Rust; a `.` itself: \\.",
            )
        })
    }

    fn operand(&mut self) -> Result<Argument, Mistake> {
        let (at, word) = self.take();
        let (expr, kind) = match word {
            Word::Text(text) => (Expr::Constant(Value::Text(text.into())), Kind::Text),
            Word::Number(digits) => (Expr::Constant(Value::Number(digits.to_owned().into())), Kind::Number),
            Word::Path(path) => (self.path(at, path)?, Kind::Any),
            Word::Meta(name) => self.meta(at, name)?,
            Word::Open => {
                let inner = self.deeper(Self::any)?;
                self.need(&Word::Close, "an operator or `)`")?;
                return Ok(Argument { at, ..inner });
            }
            Word::Name(name) if self.peek() == &Word::Open => return self.call(at, name),
            Word::Name(name) => match name.to_ascii_lowercase().as_str() {
                "null" => (Expr::Constant(Value::Null), Kind::Any),
                "true" => (Expr::Constant(Value::Bool(true)), Kind::Bool),
                "false" => (Expr::Constant(Value::Bool(false)), Kind::Bool),
                _ => return Err(unknown(at, name)),
            },
            Word::Close | Word::Comma | Word::Compare(_) => {
                self.next -= 1;
                return Err(self.expected("a value"));
            }
            Word::End => return Err(self.expected("a value")),
        };
        Ok(Argument { expr, kind, at })
    }

    fn path(&mut self, at: usize, path: &str) -> Result<Expr, Mistake> {
        self.reads_value = true;
        let (own, outer) = match path.strip_prefix('$') {
            Some(rest) if rest.starts_with('$') => (rest, true),
            _ => (path, false),
        };
        let skipped = path.len() - own.len();
        let paths = match &mut self.places {
            Places { record: Some(record), .. } if outer => record,
            Places { element, .. } => &mut *element,
        };
        let wanted = paths.want_placed(own).map_err(|place| {
            let hint = "RFC 9535: $.name, $['a name'], $.list[0], $.list[-1], $.list[*].name";
            Mistake::new(at + skipped + place, "no JSONPath: it makes no sense from here on", hint)
        })?;
        Ok(if outer { Expr::RecordPath(wanted) } else { Expr::Path(wanted) })
    }

    fn meta(&mut self, at: usize, name: &str) -> Result<(Expr, Kind), Mistake> {
        const KNOWN: &str = "@topic, @partition, @offset, @timestamp, @key, @load_time, @header('name')";
        let (meta, kind) = match name {
            "topic" => (Meta::Topic, Kind::Text),
            "partition" => (Meta::Partition, Kind::Number),
            "offset" => (Meta::Offset, Kind::Number),
            "timestamp" => (Meta::Timestamp, Kind::Number),
            "key" => (Meta::Key, Kind::Text),
            "load_time" => (Meta::LoadTime, Kind::Number),
            "header" => {
                self.need(&Word::Open, "`(` and the header's name: @header('name')")?;
                let Word::Text(name) = self.peek().clone() else {
                    return Err(self.expected("the header's name in quotes"));
                };
                self.next += 1;
                self.need(&Word::Close, "`)`")?;
                (Meta::Header(name), Kind::Text)
            }
            _ => return Err(Mistake::new(at, format!("a record has no `@{name}`"), format!("known: {KNOWN}"))),
        };
        Ok((Expr::Meta(meta), kind))
    }

    fn call(&mut self, at: usize, name: &str) -> Result<Argument, Mistake> {
        self.next += 1;
        let mut arguments = Vec::new();
        if !self.passes(&Word::Close) {
            loop {
                arguments.push(self.deeper(Self::any)?);
                if !self.passes(&Word::Comma) {
                    break;
                }
            }
            self.need(&Word::Close, "a comma or `)`")?;
        }
        match functions::signature(name) {
            Some(signature) => signature.call(at, arguments),
            None => Err(unknown(at, name)),
        }
    }
}

fn truth(condition: Condition, at: usize) -> Argument {
    Argument { expr: Expr::Condition(Box::new(condition)), kind: Kind::Bool, at }
}

fn inverted_if(inverted: bool, found: Argument) -> Argument {
    if inverted { truth(Condition::Not(found.expr), found.at) } else { found }
}

/// A name that is neither a function nor a word of the language.
fn unknown(at: usize, name: &str) -> Mistake {
    let names = || functions::SIGNATURES.iter().map(|signature| signature.name);
    if let Some(signature) = functions::signature(name) {
        let what = format!("`{}` is a function", signature.name);
        return Mistake::new(at, what, format!("it needs its arguments: {}", signature.form));
    }
    let hint = match crate::config::nearest(&name.to_ascii_lowercase(), names()) {
        Some(known) => {
            format!("did you mean `{known}`? A field is a path, $.{name}; a text stands in quotes, '{name}'")
        }
        None => format!("a field is a path: $.{name}; a text stands in quotes: '{name}'; functions: {}", list(names())),
    };
    Mistake::new(at, format!("unknown function `{name}`"), hint)
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The regular expression of a `like` pattern: `%` for any characters, `_` for one, `\` in front of what means itself.
fn like(pattern: &str) -> String {
    let mut regex = "(?s)^".to_owned();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => regex.push_str(&regex::escape(characters.next().unwrap_or('\\').encode_utf8(&mut [0; 4]))),
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    regex
}
