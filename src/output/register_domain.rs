//! The result of `register-domain`, for people.

use super::Render;
use super::table::columns;
use crate::error::Failure;
use crate::plan::register_domain::Report;

impl Render for Report {
    /// The changes, the provider's state, and the next command.
    fn table(&self, _: bool) -> String {
        let mut text = String::new();
        let is_unchanged = self
            .changes
            .iter()
            .all(|change| change.action == "unchanged");
        if is_unchanged && !self.dry_run {
            text.push_str("already up to date: the domain is registered\n");
        } else {
            let suffix = if self.dry_run { " (dry run)" } else { "" };
            for change in &self.changes {
                text.push_str(&format!(
                    "{} in {} {}{suffix}\n",
                    change.object, change.namespace, change.action
                ));
            }
        }
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut facts = vec![
            row("domain", self.domain.clone()),
            row("provider", format!("{} ({})", self.provider, self.account)),
            row("credentials", format!("Secret {}", self.secret)),
        ];
        if let Some(state) = &self.state {
            let said = self.message.as_ref();
            let said = said.map_or_else(|| state.clone(), |message| format!("{state}: {message}"));
            facts.push(row("state", said));
        }
        if !self.domains.is_empty() {
            facts.push(row("domains", self.domains.join(" ")));
        }
        text.push('\n');
        text.push_str(&columns(&facts));
        if !self.dry_run {
            text.push_str(&format!(
                "\nnext: kubectl mtls expose SERVICE --domain {}\n",
                self.domain
            ));
        }
        text
    }

    fn names(&self) -> String {
        super::names(&self.objects)
    }

    fn json(&self) -> Result<String, Failure> {
        super::manifests_json(&self.objects)
    }

    fn yaml(&self) -> Result<String, Failure> {
        super::manifests_yaml(&self.objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_words_and_the_next_command_are_shown() {
        let report = Report {
            domain: "my.example.com".into(),
            provider: "shop/my-example-com".into(),
            account: "cloudflare-dns".into(),
            secret: "shop/my-example-com-credentials".into(),
            state: Some("Ready".into()),
            message: Some("provider operational".into()),
            domains: vec!["my.example.com".into()],
            changes: Vec::new(),
            notes: Vec::new(),
            dry_run: false,
            objects: Vec::new(),
        };
        assert_eq!(
            report.table(false),
            "already up to date: the domain is registered\n\n\
             domain       my.example.com\n\
             provider     shop/my-example-com (cloudflare-dns)\n\
             credentials  Secret shop/my-example-com-credentials\n\
             state        Ready: provider operational\n\
             domains      my.example.com\n\n\
             next: kubectl mtls expose SERVICE --domain my.example.com\n"
        );
    }
}
