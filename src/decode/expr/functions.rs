//! The functions: their names, what they take, and how they are compiled.

use super::number::is_number;
use super::value::{Kind, Value};
use super::{Condition, Expr, Mistake, times};

/// A compiled function.
#[derive(Debug)]
pub(super) enum Function {
    Trim,
    Lower,
    Upper,
    Substring,
    Length,
    Concat,
    Replace,
    Mask,
    Number,
    Text,
    FromEpoch(times::FromEpoch),
    ParseDatetime(Box<times::Parse>),
    Md5,
    Sha256,
    ToJson,
    FromJson,
}

/// An argument as it was written.
pub(super) struct Argument {
    pub(super) expr: Expr,
    pub(super) kind: Kind,
    pub(super) at: usize,
}

impl Argument {
    /// The argument as something that is true, false or null.
    pub(super) fn condition(self) -> Result<Expr, Mistake> {
        match self.kind {
            Kind::Bool | Kind::Any => Ok(self.expr),
            Kind::Number | Kind::Text => {
                let found = if self.kind == Kind::Text { "a text" } else { "a number" };
                let hint = "a condition compares: $.op = 'd', $.amount > 0, $.name is not null";
                Err(Mistake::new(self.at, format!("this is {found}, not a condition"), hint))
            }
        }
    }

    fn may_be_number(&self) -> bool {
        if let Expr::Constant(Value::Text(text)) = &self.expr { is_number(text) } else { true }
    }

    fn literal(self, what: &str) -> Result<(String, usize), Mistake> {
        let Expr::Constant(Value::Text(text)) = self.expr else {
            let what = format!("{what} has to stand here in quotes");
            return Err(Mistake::new(self.at, what, "it can't come from a record"));
        };
        Ok((text.into_owned(), self.at))
    }
}

/// What is known of a function.
pub(super) struct Signature {
    pub(super) name: &'static str,
    /// How it is called, for hints.
    pub(super) form: &'static str,
    /// Fewest and most arguments.
    counts: (usize, usize),
    /// Kinds of the arguments; the last one holds for all behind it.
    takes: &'static [Kind],
    result: Kind,
}

const MANY: usize = usize::MAX;

const fn known(
    name: &'static str,
    form: &'static str,
    counts: (usize, usize),
    takes: &'static [Kind],
    result: Kind,
) -> Signature {
    Signature { name, form, counts, takes, result }
}

/// All functions.
pub(super) const SIGNATURES: &[Signature] = {
    use Kind::{Any, Bool, Number, Text};
    &[
        known("trim", "trim(text)", (1, 1), &[Any], Text),
        known("lower", "lower(text)", (1, 1), &[Any], Text),
        known("upper", "upper(text)", (1, 1), &[Any], Text),
        known("substring", "substring(text, start, length)", (2, 3), &[Any, Number], Text),
        known("length", "length(text)", (1, 1), &[Any], Number),
        known("concat", "concat(text, text, …)", (1, MANY), &[Any], Text),
        known("replace", "replace(text, from, to)", (3, 3), &[Any], Text),
        known("mask", "mask(text, first, last)", (3, 3), &[Any, Number], Text),
        known("coalesce", "coalesce(value, value, …)", (1, MANY), &[Any], Any),
        known("if", "if(condition, value, otherwise)", (3, 3), &[Bool, Any], Any),
        known("case", "case(condition, value, condition, value, …, otherwise)", (2, MANY), &[Any], Any),
        known("number", "number(text)", (1, 1), &[Any], Number),
        known("text", "text(value)", (1, 1), &[Any], Text),
        known("datetime_from_epoch_s", "datetime_from_epoch_s(seconds, 'zone')", (2, 2), &[Number, Text], Text),
        known("datetime_from_epoch_ms", "datetime_from_epoch_ms(milliseconds, 'zone')", (2, 2), &[Number, Text], Text),
        known("parse_datetime", "parse_datetime(text, '%d/%m/%Y %H:%M:%S')", (2, 3), &[Any, Text], Text),
        known("md5", "md5(text)", (1, 1), &[Any], Text),
        known("sha256", "sha256(text)", (1, 1), &[Any], Text),
        known("to_json", "to_json(value)", (1, 1), &[Any], Text),
        known("from_json", "from_json(text)", (1, 1), &[Any], Any),
        known("exists", "exists($.path)", (1, 1), &[Any], Bool),
    ]
};

/// The function of that name, in whatever case.
pub(super) fn signature(name: &str) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|signature| signature.name.eq_ignore_ascii_case(name))
}

impl Signature {
    /// Compiles a call that stands at byte `at`.
    pub(super) fn call(&self, at: usize, arguments: Vec<Argument>) -> Result<Argument, Mistake> {
        self.check_count(at, arguments.len())?;
        let mut arguments = arguments.into_iter().enumerate().map(|(index, argument)| self.checked(index, argument));
        let arguments: Vec<Argument> = arguments.by_ref().collect::<Result<_, _>>()?;
        let expr = self.compiled(arguments)?;
        Ok(Argument { expr, kind: self.result, at })
    }

    fn check_count(&self, at: usize, count: usize) -> Result<(), Mistake> {
        let (least, most) = self.counts;
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let takes = match (least, most) {
            (least, MANY) => format!("{least} or more"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        let plural = if takes == "1" { "" } else { "s" };
        let given = if count == 1 { "1 is".to_owned() } else { format!("{count} are") };
        Err(Mistake::new(at, format!("`{}` takes {takes} argument{plural}, {given} given", self.name), self.form))
    }

    fn checked(&self, index: usize, argument: Argument) -> Result<Argument, Mistake> {
        let wanted = self.takes.get(index).or(self.takes.last()).copied().unwrap_or(Kind::Any);
        let what = match (wanted, argument.kind) {
            (Kind::Any, _) | (_, Kind::Any) => return Ok(argument),
            (wanted, found) if wanted == found => return Ok(argument),
            // A text may be written as a number; which it is shows in the record.
            (Kind::Number, Kind::Text) if argument.may_be_number() => return Ok(argument),
            (Kind::Bool, _) => "a condition",
            (Kind::Number, _) => "a number",
            (Kind::Text, _) => "a text",
        };
        let number = index + 1;
        Err(Mistake::new(argument.at, format!("argument {number} of `{}` is {what}", self.name), self.form))
    }

    fn compiled(&self, mut arguments: Vec<Argument>) -> Result<Expr, Mistake> {
        let function = match self.name {
            "trim" => Function::Trim,
            "lower" => Function::Lower,
            "upper" => Function::Upper,
            "substring" => Function::Substring,
            "length" => Function::Length,
            "concat" => Function::Concat,
            "replace" => Function::Replace,
            "mask" => Function::Mask,
            "coalesce" => return Ok(Expr::Coalesce(arguments.into_iter().map(|argument| argument.expr).collect())),
            "if" | "case" => return case(arguments),
            "number" => Function::Number,
            "text" => Function::Text,
            "datetime_from_epoch_s" | "datetime_from_epoch_ms" => {
                let (zone, at) = last(&mut arguments, "the zone")?;
                let power = if self.name.ends_with("_ms") { 3 } else { 6 };
                Function::FromEpoch(times::FromEpoch::new(self.name, power, &zone).map_err(|error| error.at(at))?)
            }
            "parse_datetime" => {
                let zone = if arguments.len() == 3 { Some(last(&mut arguments, "the zone")?) } else { None };
                let (format, at) = last(&mut arguments, "the format")?;
                Function::ParseDatetime(Box::new(times::Parse::new(format, at, zone)?))
            }
            "md5" => Function::Md5,
            "sha256" => Function::Sha256,
            "to_json" => Function::ToJson,
            "from_json" => Function::FromJson,
            _ => return exists(arguments),
        };
        Ok(Expr::Call(function, arguments.into_iter().map(|argument| argument.expr).collect()))
    }
}

/// Takes the last argument, which has to be a text of the expression itself.
fn last(arguments: &mut Vec<Argument>, what: &str) -> Result<(String, usize), Mistake> {
    match arguments.pop() {
        Some(argument) => argument.literal(what),
        None => Err(Mistake::new(0, format!("{what} is missing"), "")),
    }
}

fn case(arguments: Vec<Argument>) -> Result<Expr, Mistake> {
    let pairs = arguments.len() / 2 * 2;
    let branch = |(index, argument): (usize, Argument)| {
        if index < pairs && index % 2 == 0 { argument.condition() } else { Ok(argument.expr) }
    };
    let branches = arguments.into_iter().enumerate().map(branch).collect::<Result<_, _>>()?;
    Ok(Expr::Case(branches))
}

fn exists(arguments: Vec<Argument>) -> Result<Expr, Mistake> {
    let (at, found) = match arguments.into_iter().next().map(|argument| (argument.at, argument.expr)) {
        Some((at, Expr::Path(wanted))) => (at, Some((wanted, true))),
        Some((at, Expr::RecordPath(wanted))) => (at, Some((wanted, false))),
        other => (other.map_or(0, |(at, _)| at), None),
    };
    match found {
        Some((wanted, of_element)) => Ok(Expr::Condition(Box::new(Condition::Exists(wanted, of_element)))),
        None => Err(Mistake::new(at, "`exists` asks for a path", "exists($.path); for other values: … is not null")),
    }
}
