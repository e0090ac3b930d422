//! Records as a table of devices would send them, the same for the same (seed, index): so a test knows what has to be
//! in the table without keeping what was sent.
//!
//! The values are chosen to hurt: decimals with trailing zeros, numbers beyond 64 bits and beyond what a double holds,
//! Chinese text, quotes, line breaks, nested objects, nulls and missing keys.

use std::fmt::Write;

use serde_json::Value;

use super::random::Random;

/// First `updated_at`: 2026-01-01T00:00:00Z.
const EPOCH_MS: u64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;
/// Shortest filler, `,"attr_00":""`.
const FILLER_MIN: usize = 13;
/// Characters in a filler's value, so that a record has many keys rather than one long text.
const FILLER_TEXT: usize = 12;

const CITIES: [&str; 8] = ["杭州", "上海", "深圳", "成都", "乌鲁木齐", "北京", "西安", "哈尔滨"];
const NAMES: [&str; 8] = ["云启", "恒通", "智联", "东方", "海纳", "星河", "「金石」", "盛世"];
const TRADES: [&str; 6] = ["物联网科技", "电子", "新能源", "仪器仪表", "通信设备", "智能制造"];
const FORMS: [&str; 3] = ["有限公司", "股份有限公司", "(集团)有限公司"];
const MODELS: [&str; 5] = ["DX-100", "DX-200", "MZT-7", "传感器-A型", "GW\\9"];
const REMARKS: [&str; 6] = ["正常", "says \"hello\"", "第一行\n第二行", "tab\there", "待维修 🔧", "C:\\devices\\<a&b>"];

/// One device, as text that has to arrive digit for digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Unique: the index of the record, plus 1.
    pub id: u64,
    /// Chinese name of a company.
    pub company_name: String,
    /// 19 digits: beyond 2^53, within a BIGINT.
    pub company_id: u64,
    /// 32 hexadecimal digits.
    pub secret_key: String,
    /// Name of a model; some with a backslash or not in ASCII.
    pub model: String,
    /// DECIMAL(18,2) with both digits behind the point, zeros too.
    pub amount: String,
    /// DECIMAL(38,10) with all 38 digits.
    pub balance: String,
    /// LARGEINT with 20 to 38 digits.
    pub traffic: String,
    /// True or false.
    pub online: bool,
    /// Text with quotes, line breaks and emoji; `None` for JSON null.
    pub remark: Option<String>,
    /// A nested object, as compact JSON text.
    pub location: String,
    /// A key that is there in three records of four.
    pub firmware: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub updated_at: u64,
}

/// The device of a record.
pub fn device(seed: u64, index: u64) -> Device {
    let mut random = Random::of(seed, index);
    let city = random.one_of(&CITIES);
    let company = [city, random.one_of(&NAMES), random.one_of(&TRADES), random.one_of(&FORMS)].concat();
    let (traffic_digits, amount_digits) = (20 + random.below(19), 1 + random.below(9));
    Device {
        id: index + 1,
        company_name: company,
        company_id: 1_000_000_000_000_000_000 + random.below(8_000_000_000_000_000_000),
        secret_key: format!("{:016x}{:016x}", random.next(), random.next()),
        model: random.one_of(&MODELS).to_owned(),
        amount: amount(&mut random, amount_digits),
        balance: format!("{}.{}", random.digits(28), random.digits(10)),
        traffic: random.digits(usize::try_from(traffic_digits).unwrap_or(20)),
        online: random.below(2) == 1,
        remark: (random.below(5) > 0).then(|| random.one_of(&REMARKS).to_owned()),
        location: location(&mut random, city),
        firmware: (random.below(4) > 0).then(|| format!("v{}.{}", random.below(10), random.below(100))),
        updated_at: EPOCH_MS + random.below(300 * DAY_MS),
    }
}

/// Every fourth ends in `.00`, every other fourth in one zero.
fn amount(random: &mut Random, digits: u64) -> String {
    let whole = random.digits(usize::try_from(digits).unwrap_or(1));
    let cents = match random.below(4) {
        0 => 0,
        1 => 10 * random.below(10),
        _ => random.below(100),
    };
    let sign = if random.below(10) == 0 { "-" } else { "" };
    format!("{sign}{whole}.{cents:02}")
}

fn location(random: &mut Random, city: &str) -> String {
    let (longitude, latitude) = (73 + random.below(62), 18 + random.below(35));
    let tags: Vec<_> = (0..random.below(4)).map(|_| random.one_of(&["室内", "outdoor", "a,b", "]}"])).collect();
    let tags = Value::from(tags);
    // A JSON column holds doubles: six digits survive there, a last zero would not.
    let mut digits = || 10 * random.below(100_000) + 1 + random.below(9);
    format!(
        "{{\"city\":{},\"lng\":{longitude}.{:06},\"lat\":{latitude}.{:06},\"tags\":{tags}}}",
        Value::from(city),
        digits(),
        digits()
    )
}

impl Device {
    /// Names of the fields and their JSON text, in the order in which they stand in the record. A key that is missing
    /// from the record is missing here.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let text = |text: &str| Value::from(text).to_string();
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("company_name", text(&self.company_name)),
            ("company_id", self.company_id.to_string()),
            ("secret_key", text(&self.secret_key)),
            ("model", text(&self.model)),
            ("amount", self.amount.clone()),
            ("balance", self.balance.clone()),
            ("traffic", self.traffic.clone()),
            ("online", self.online.to_string()),
            ("remark", self.remark.as_deref().map_or_else(|| "null".to_owned(), text)),
            ("location", self.location.clone()),
            ("updated_at", self.updated_at.to_string()),
        ];
        fields.extend(self.firmware.as_deref().map(|firmware| ("firmware", text(firmware))));
        fields
    }

    /// The record's value: one JSON object. With `size`, fillers (`attr_00`, `attr_01`, …) make it exactly that many
    /// bytes long, if it is not longer by itself.
    pub fn json(&self, size: Option<usize>) -> String {
        let mut json = String::with_capacity(size.unwrap_or(600));
        for (name, value) in self.fields() {
            let open = if json.is_empty() { '{' } else { ',' };
            let _ = write!(json, "{open}\"{name}\":{value}");
        }
        if let Some(size) = size {
            self.fill(&mut json, size.saturating_sub(1));
        }
        json.push('}');
        json
    }

    fn fill(&self, json: &mut String, size: usize) {
        let mut random = Random::of(self.company_id, self.id);
        let mut number = 0;
        while size.saturating_sub(json.len()) >= FILLER_MIN {
            let left = size - json.len();
            let name = format!(",\"attr_{number:02}\":\"");
            let room = left.saturating_sub(name.len() + 1);
            // A rest that is too short for another filler goes into this one.
            let length = if room < FILLER_TEXT + FILLER_MIN + 2 { room } else { FILLER_TEXT };
            json.push_str(&name);
            random.letters(json, length);
            json.push('"');
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_for_the_same_seed_and_index() {
        assert_eq!(device(1, 41), device(1, 41));
        assert_ne!(device(1, 41), device(2, 41));
        assert_eq!(device(1, 41).id, 42);
    }

    #[test]
    fn json_holds_the_fields_digit_for_digit() {
        for index in 0..2000 {
            let device = device(7, index);
            let json: serde_json::Map<String, Value> = serde_json::from_str(&device.json(Some(1024))).unwrap();
            for (name, text) in device.fields() {
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(json[name], value, "{name} of record {index}");
            }
            assert_eq!(json.contains_key("firmware"), device.firmware.is_some());
        }
    }

    #[test]
    fn padded_to_the_byte() {
        for size in [700, 1024, 1025, 1036, 1040, 4096] {
            for index in 0..100 {
                let json = device(3, index).json(Some(size));
                assert_eq!(json.len(), size, "record {index}: {json}");
                assert!(serde_json::from_str::<Value>(&json).is_ok());
            }
        }
        assert!(device(3, 0).json(Some(10)).len() > 10, "never cut");
    }

    #[test]
    fn hurting_values_occur() {
        let devices: Vec<_> = (0..1000).map(|index| device(1, index)).collect();
        let some = |what: &dyn Fn(&Device) -> bool| devices.iter().any(what);
        assert!(some(&|device| device.amount.ends_with(".00")));
        assert!(some(&|device| device.amount.starts_with('-')));
        assert!(some(&|device| device.traffic.len() == 38));
        assert!(some(&|device| device.remark.is_none()));
        assert!(some(&|device| device.firmware.is_none()));
        assert!(devices.iter().all(|device| device.balance.len() == 39 && device.company_id > 1 << 53));
    }
}
