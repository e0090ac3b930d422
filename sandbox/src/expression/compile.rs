//! Reads expressions with sqlparser and takes those forms that the sandbox imitates.

#![expect(clippy::wildcard_enum_match_arm, reason = "the enums are the parser's, with a hundred forms of expression")]

use std::borrow::Cow;

use sqlparser::ast::{self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::{Comparison, Expression, Function, Operator, Value};
use crate::ddl;
use crate::table::EngineKind;

/// Words and signs of one expression (the engines hold the depth of an expression to 3000, `expr_depth_limit`).
const WORDS_MAX: usize = 2000;

/// Characters of a header in a message about it.
const SHOWN_CHARACTERS: usize = 1000;

/// One entry of header `columns`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// The name, or the name before `=`.
    pub(crate) name: String,
    /// What stands behind `=`.
    pub(crate) expression: Option<Box<Expr>>,
}

/// Reads header `columns`: names and `name = expression`, divided by commas.
///
/// # Errors
/// What can't be read.
pub(crate) fn read_columns(text: &str) -> Result<Vec<Item>, String> {
    let dialect = MySqlDialect {};
    let unreadable = |e: &dyn std::fmt::Display| format!("columns: {} cannot be read: {e}", beginning(text));
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(words(text).map_err(|e| unreadable(&e))?);
    let mut items = Vec::new();
    loop {
        let name = parser.parse_identifier().map_err(|e| unreadable(&e))?.value;
        let expression = if parser.consume_token(&Token::Eq) {
            Some(Box::new(parser.parse_expr().map_err(|e| unreadable(&e))?))
        } else {
            None
        };
        items.push(Item { name, expression });
        if parser.consume_token(&Token::EOF) || parser.peek_token().token == Token::EOF {
            return Ok(items);
        }
        if !parser.consume_token(&Token::Comma) {
            return Err(unreadable(&format!("found {}", parser.peek_token())));
        }
    }
}

/// Reads the condition of header `where` or `delete`.
///
/// # Errors
/// What can't be read.
pub(crate) fn read_condition(text: &str) -> Result<Expr, String> {
    let dialect = MySqlDialect {};
    let unreadable = |e: &dyn std::fmt::Display| format!("condition {} cannot be read: {e}", beginning(text));
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(words(text).map_err(|e| unreadable(&e))?);
    let condition = parser.parse_expr().map_err(|e| unreadable(&e))?;
    match parser.peek_token().token {
        Token::EOF => Ok(condition),
        other => Err(unreadable(&format!("found {other}"))),
    }
}

/// What a message shows of a header.
fn beginning(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// The words of a header. Chains of operators become trees as deep as they are long, so they are held to a length; lists of
/// names, arguments and literals are not.
fn words(text: &str) -> Result<Vec<TokenWithSpan>, String> {
    let tokens = Tokenizer::new(&MySqlDialect {}, text).tokenize_with_location().map_err(|e| e.to_string())?;
    let (mut words, mut depth) = (0, 0_usize);
    for TokenWithSpan { token, .. } in &tokens {
        match token {
            Token::Comma if depth == 0 => words = 0,
            Token::Comma | Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) => continue,
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        words += 1;
        if words > WORDS_MAX {
            return Err(format!("an expression has more than {WORDS_MAX} words"));
        }
    }
    Ok(tokens)
}

/// Turns a parsed expression into ours; `resolve` gives the position of a name.
///
/// # Errors
/// The name of what isn't imitated, or what `resolve` says to an unknown name.
pub(crate) fn compile(
    kind: EngineKind,
    expression: &Expr,
    resolve: &dyn Fn(&str) -> Result<usize, String>,
) -> Result<Expression, String> {
    Compiler { kind, resolve }.compile(expression)
}

struct Compiler<'a> {
    kind: EngineKind,
    resolve: &'a dyn Fn(&str) -> Result<usize, String>,
}

impl Compiler<'_> {
    fn boxed(&self, expression: &Expr) -> Result<Box<Expression>, String> {
        self.compile(expression).map(Box::new)
    }

    fn compile(&self, expression: &Expr) -> Result<Expression, String> {
        let unknown = || format!("the sandbox does not imitate the expression {expression}");
        Ok(match expression {
            Expr::Identifier(name) => Expression::Column((self.resolve)(&name.value)?),
            Expr::CompoundIdentifier(names) => {
                Expression::Column((self.resolve)(names.last().map_or("", |n| n.value.as_str()))?)
            }
            Expr::Nested(inner) => self.compile(inner)?,
            Expr::Value(value) => Expression::Literal(literal(&value.value).ok_or_else(unknown)?),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Expression::Not(self.boxed(expr)?),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Expression::Negate(self.boxed(expr)?),
            Expr::IsNull(inner) => Expression::IsNull(self.boxed(inner)?),
            Expr::IsNotNull(inner) => Expression::Not(Box::new(Expression::IsNull(self.boxed(inner)?))),
            Expr::BinaryOp { left, op, right } => {
                let (a, b) = (self.boxed(left)?, self.boxed(right)?);
                binary(op, a, b).ok_or_else(unknown)?
            }
            Expr::Between { expr, negated, low, high } => {
                let from = Expression::Compare(Comparison::GreaterOrEqual, self.boxed(expr)?, self.boxed(low)?);
                let to = Expression::Compare(Comparison::LessOrEqual, self.boxed(expr)?, self.boxed(high)?);
                negate(*negated, Expression::And(Box::new(from), Box::new(to)))
            }
            Expr::InList { expr, list, negated } => {
                let list = list.iter().map(|item| self.compile(item)).collect::<Result<_, _>>()?;
                negate(*negated, Expression::In(self.boxed(expr)?, list))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                negate(*negated, Expression::Like(self.boxed(expr)?, self.boxed(pattern)?))
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())?
            }
            Expr::Cast { expr, data_type, format: None, .. } => {
                let ty = ddl::read_type(self.kind, &data_type.to_string()).ok_or_else(unknown)?;
                Expression::Cast(self.boxed(expr)?, ty)
            }
            Expr::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let arguments: Vec<&Expr> =
                    [Some(expr), Some(from), substring_for.as_ref()].into_iter().flatten().map(AsRef::as_ref).collect();
                self.call("substring", &arguments)?
            }
            Expr::Trim { trim_where: None, trim_what: None, expr, trim_characters: None } => {
                self.call("trim", &[expr])?
            }
            Expr::Function(function) => {
                let arguments = arguments(&function.args).ok_or_else(unknown)?;
                self.call(&function.name.to_string(), &arguments)?
            }
            _ => return Err(unknown()),
        })
    }

    fn call(&self, name: &str, arguments: &[&Expr]) -> Result<Expression, String> {
        let function = Function::of(name, arguments.len())?;
        let arguments = arguments.iter().map(|a| self.compile(a)).collect::<Result<_, _>>()?;
        Ok(Expression::Call(function, arguments))
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Expression, String> {
        let mut cases = Vec::new();
        for ast::CaseWhen { condition, result } in conditions {
            let mut condition = self.compile(condition)?;
            if let Some(operand) = operand {
                condition = Expression::Compare(Comparison::Equal, self.boxed(operand)?, Box::new(condition));
            }
            cases.push((condition, self.compile(result)?));
        }
        let otherwise = otherwise.map_or(Ok(Expression::Literal(Value::Null)), |e| self.compile(e))?;
        Ok(Expression::Case(cases, Box::new(otherwise)))
    }
}

fn negate(negated: bool, expression: Expression) -> Expression {
    if negated { Expression::Not(Box::new(expression)) } else { expression }
}

fn literal(value: &ast::Value) -> Option<Value> {
    match value {
        ast::Value::Number(digits, _) => Some(Value::Number(digits.clone())),
        ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => Some(Value::Text(text.clone())),
        ast::Value::Boolean(value) => Some(Value::Bool(*value)),
        ast::Value::Null => Some(Value::Null),
        _ => None,
    }
}

fn binary(operator: &BinaryOperator, a: Box<Expression>, b: Box<Expression>) -> Option<Expression> {
    let compare = |how, a, b| Some(Expression::Compare(how, a, b));
    let calculate = |how, a, b| Some(Expression::Calculate(how, a, b));
    match operator {
        BinaryOperator::And => Some(Expression::And(a, b)),
        BinaryOperator::Or => Some(Expression::Or(a, b)),
        BinaryOperator::Eq => compare(Comparison::Equal, a, b),
        BinaryOperator::NotEq => compare(Comparison::NotEqual, a, b),
        BinaryOperator::Lt => compare(Comparison::Less, a, b),
        BinaryOperator::LtEq => compare(Comparison::LessOrEqual, a, b),
        BinaryOperator::Gt => compare(Comparison::Greater, a, b),
        BinaryOperator::GtEq => compare(Comparison::GreaterOrEqual, a, b),
        BinaryOperator::Spaceship => compare(Comparison::Same, a, b),
        BinaryOperator::Plus => calculate(Operator::Add, a, b),
        BinaryOperator::Minus => calculate(Operator::Subtract, a, b),
        BinaryOperator::Multiply => calculate(Operator::Multiply, a, b),
        BinaryOperator::Divide => calculate(Operator::Divide, a, b),
        BinaryOperator::Modulo => calculate(Operator::Remainder, a, b),
        _ => None,
    }
}

fn arguments(arguments: &FunctionArguments) -> Option<Vec<&Expr>> {
    match arguments {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}
