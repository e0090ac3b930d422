//! `LIKE`, in time that grows with text times pattern. Pure.

/// `LIKE`: `%` any text, `_` any character, `\` takes the next one as it is. Case counts.
pub(crate) fn like(text: &str, pattern: &str) -> bool {
    enum Piece {
        Any,
        One,
        This(char),
    }
    let mut pieces = Vec::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        pieces.push(match c {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::This(characters.next().unwrap_or('\\')),
            c => Piece::This(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // Where to go on after the last `%`: one character further in the text.
    let (mut at, mut piece, mut retry) = (0, 0, None);
    while at < text.len() {
        match pieces.get(piece) {
            Some(Piece::Any) => {
                retry = Some((piece + 1, at));
                piece += 1;
                continue;
            }
            Some(Piece::One) => {}
            Some(Piece::This(c)) if *c == text[at] => {}
            Some(Piece::This(_)) | None => {
                let Some((after, from)) = retry else { return false };
                retry = Some((after, from + 1));
                (piece, at) = (after, from + 1);
                continue;
            }
        }
        piece += 1;
        at += 1;
    }
    pieces[piece..].iter().all(|p| matches!(p, Piece::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("abc", "a%c", true),
            ("abc", "a_c", true),
            ("abc", "ab", false),
            ("abc", "%bc%", true),
            ("aXbXc", "a%b%c", true),
            ("größe", "gr__e", true),
            ("50%", "50\\%", true),
            ("500", "50\\%", false),
            ("a\\", "a\\", true),
        ];
        for (text, pattern, want) in cases {
            assert_eq!(like(text, pattern), want, "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn many_wildcards_take_no_time_and_no_stack() {
        let text = "a".repeat(10_000);
        assert!(!like(&text, &format!("{}b", "%a".repeat(500))));
        assert!(like(&text, &text));
    }
}
