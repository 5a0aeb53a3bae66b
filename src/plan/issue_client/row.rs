//! One row of a table of clients.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

use super::column::{Cell, Column};
use crate::error::Failure;
use crate::pki::key::KeyType;
use crate::pki::names::{Attribute, ClientName, Subject, hash12};
use crate::plan::identity::Names;

/// The order of a subject's attributes, the most specific first.
const ORDER: [Attribute; 14] = [
    Attribute::CommonName,
    Attribute::UserId,
    Attribute::EmailAddress,
    Attribute::SerialNumber,
    Attribute::GivenName,
    Attribute::Surname,
    Attribute::Title,
    Attribute::OrganizationalUnit,
    Attribute::Organization,
    Attribute::Street,
    Attribute::Locality,
    Attribute::StateOrProvince,
    Attribute::Country,
    Attribute::DomainComponent,
];

/// One client, from a table or the command line.
#[derive(Clone)]
pub struct Row {
    /// The client.
    pub name: ClientName,
    /// The client's subject and SANs.
    pub names: Names,
    /// A lifetime such as `90d`, if the row has its own.
    pub ttl: Option<String>,
    /// The type of the client's key, if the row has its own.
    pub key_type: Option<KeyType>,
    /// The file of the client's signing request.
    pub csr: Option<String>,
    /// The password of the client's keystore.
    pub password: Option<Zeroizing<String>>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Row").field(&self.name).finish()
    }
}

impl Row {
    /// A row with only a name.
    pub fn named(name: ClientName) -> Self {
        Self {
            name,
            names: Names::default(),
            ttl: None,
            key_type: None,
            csr: None,
            password: None,
        }
    }

    /// Parses the cells. A subject's attributes get their usual order, whatever the order of the columns; repeated ones keep their order.
    pub fn read(cells: &[(Column, Cell)]) -> Result<Self, Failure> {
        let name =
            one(cells, Column::Name)?.ok_or_else(|| Failure::usage("the name is missing"))?;
        let name: ClientName = name.parse().map_err(|error| wrong(Column::Name, error))?;
        let key_type = one(cells, Column::KeyType)?
            .map(|text| {
                // Without what stands there: where a comma is missing, that is the next cell.
                text.to_lowercase().parse().map_err(|_| {
                    Failure::usage(format!(
                        "`key-type` is not one of {}",
                        KeyType::ALL.map(KeyType::name).join(", ")
                    ))
                })
            })
            .transpose()?;
        let csr = one(cells, Column::Csr)?.map(str::to_owned);
        if csr.is_some() && key_type.is_some() {
            return Err(Failure::usage(
                "both `csr` and `key-type` are given; a signing request brings its own key",
            ));
        }
        let ips = many(cells, Column::Ip).map(|text| {
            let wrong = |_| Failure::usage("`ip` holds a value that is not an IP address");
            text.parse::<IpAddr>().map_err(wrong)
        });
        let names = Names {
            subject: subject(cells, &name)?,
            uris: many(cells, Column::Uri).map(str::to_owned).collect(),
            trust_domain: None,
            dns: many(cells, Column::Dns).map(str::to_owned).collect(),
            emails: many(cells, Column::Email).map(str::to_owned).collect(),
            ips: ips.collect::<Result<_, _>>()?,
        };
        Ok(Self {
            names,
            ttl: one(cells, Column::Ttl)?.map(str::to_owned),
            key_type,
            csr,
            password: one(cells, Column::Password)?.map(|text| Zeroizing::new(text.to_owned())),
            name,
        })
    }
}

fn subject(cells: &[(Column, Cell)], name: &ClientName) -> Result<Option<Subject>, Failure> {
    let parts: Vec<(Attribute, &str)> = ORDER
        .into_iter()
        .flat_map(|part| values(cells, Column::Part(part)).map(move |value| (part, value)))
        .collect();
    if let Some(text) = one(cells, Column::Subject)? {
        if let Some((part, _)) = parts.first() {
            return Err(Failure::usage(format!(
                "both `subject` and `{}` are given; give one of them",
                part.name()
            )));
        }
        let subject = text
            .parse()
            .map_err(|error| wrong(Column::Subject, error))?;
        return Ok(Some(subject));
    }
    if parts.is_empty() {
        return Ok(None);
    }
    // A certificate has the most general attribute first.
    let mut subject = Subject::default();
    for (part, value) in parts.iter().rev() {
        subject = subject
            .with(*part, *value)
            .map_err(|error| wrong(Column::Part(*part), error))?;
    }
    if parts.iter().all(|(part, _)| *part != Attribute::CommonName) {
        subject = subject
            .with(Attribute::CommonName, name.as_str())
            .map_err(|error| wrong(Column::Name, error))?;
    }
    Ok(Some(subject))
}

fn wrong(column: Column, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::usage(format!("`{column}`")).caused_by(error)
}

/// All values in the columns of one kind.
fn values(cells: &[(Column, Cell)], column: Column) -> impl Iterator<Item = &str> {
    let of_kind = cells.iter().filter(move |(kind, _)| *kind == column);
    of_kind.flat_map(|(_, cell)| cell.0.iter().map(String::as_str))
}

/// All values in the columns of one kind, where one cell may hold several values separated by
/// blanks.
fn many(cells: &[(Column, Cell)], column: Column) -> impl Iterator<Item = &str> {
    values(cells, column).flat_map(str::split_whitespace)
}

fn one(cells: &[(Column, Cell)], column: Column) -> Result<Option<&str>, Failure> {
    let mut all = values(cells, column);
    match (all.next(), all.next()) {
        (Some(_), Some(_)) => Err(Failure::usage(format!("`{column}` is given several times"))),
        (first, _) => Ok(first),
    }
}

/// The file names that earlier rows use: some 20 bytes a row.
#[derive(Debug, Default)]
pub struct Taken(HashMap<[u8; 12], u32>);

impl Taken {
    /// Adds the file names of a client; fails with the position of an earlier row that has the same ones.
    pub fn take(&mut self, name: &ClientName, place: u64) -> Result<(), u64> {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        match self.0.entry(hash12(&name.file_stem())) {
            Entry::Occupied(first) => Err((*first.get()).into()),
            Entry::Vacant(free) => {
                free.insert(place);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cells: &[(&str, &[&str])]) -> Result<Row, Failure> {
        let cells: Vec<(Column, Cell)> = cells
            .iter()
            .map(|(name, values)| {
                let values = values.iter().map(|value| (*value).to_owned()).collect();
                (Column::of_name(name).unwrap(), Cell(values))
            })
            .collect();
        Row::read(&cells)
    }

    fn subject(cells: &[(&str, &[&str])]) -> String {
        read(cells).unwrap().names.subject.unwrap().to_string()
    }

    #[test]
    fn a_subject_has_its_usual_order_whatever_that_of_the_columns() {
        let cells: [(&str, &[&str]); 4] = [
            ("C", &["DE"]),
            ("O", &["Example"]),
            ("name", &["alice"]),
            ("OU", &["b", "a"]),
        ];
        assert_eq!(subject(&cells), "CN=alice,OU=b,OU=a,O=Example,C=DE");
        let own = [
            ("name", &["alice"][..]),
            ("CN", &["Alice A"]),
            ("DC", &["example", "com"]),
        ];
        assert_eq!(subject(&own), "CN=Alice A,DC=example,DC=com");
        assert_eq!(read(&[("name", &["alice"])]).unwrap().names.subject, None);
        let both = read(&[("name", &["a"]), ("subject", &["CN=a"]), ("O", &["b"])]);
        assert_eq!(
            both.unwrap_err().to_string(),
            "both `subject` and `O` are given; give one of them"
        );
    }

    #[test]
    fn several_alternative_names_stand_in_one_cell() {
        let row = read(&[
            ("name", &["a"]),
            ("dns", &["a.example b.example", "c.example"]),
            ("ip", &["192.0.2.1  2001:db8::1"]),
        ]);
        let names = row.unwrap().names;
        assert_eq!(names.dns, ["a.example", "b.example", "c.example"]);
        assert_eq!(names.ips.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_column_and_a_password_never() {
        let wrong = |cells: &[(&str, &[&str])]| read(cells).unwrap_err().to_string();
        assert!(wrong(&[("dns", &["a"])]).contains("name is missing"));
        assert!(wrong(&[("name", &["a"]), ("key-type", &["dsa"])]).contains("`key-type`"));
        assert!(wrong(&[("name", &["a"]), ("ip", &["300.1"])]).contains("`ip`"));
        assert!(wrong(&[("name", &["a"]), ("C", &["Germany"])]).contains("`C`"));
        let row = read(&[("name", &["a"]), ("password", &["hidden"])]).unwrap();
        assert!(!format!("{row:?}").contains("hidden"));
    }

    #[test]
    fn names_whose_files_would_be_the_same_are_told_apart_from_all_others() {
        let mut taken = Taken::default();
        let mut take = |name: &str, line| taken.take(&name.parse().unwrap(), line);
        assert_eq!(take("a:b", 2), Ok(()));
        assert_eq!(take("a-b", 3), Ok(()));
        assert_eq!(take("a*b", 4), Err(2));
        assert_eq!(take("a-b", 5), Err(3));
        // YAML and JSON may hold several rows in one line.
        assert_eq!(take("a-b", 3), Err(3));
    }
}
