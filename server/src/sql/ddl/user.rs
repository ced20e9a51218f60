//! CREATE, ALTER and DROP USER. Who may log in may do everything, for now.

use catalog::{CatalogError, Credential};

use super::super::accounts::{ROOT, RootPassword};
use super::super::errors::of_catalog;
use super::super::statement::{Account, UserClause};
use super::Ddl;
use crate::mysql::SqlError;

/// MySQL's number for a statement about users that cannot be carried out.
const CANNOT_USER: u16 = 1396;
/// MySQL's note for a user that is there already.
const NOTE_EXISTS: u16 = 3163;
/// MySQL's note for a user that is not there.
const NOTE_MISSING: u16 = 3162;
/// The number of what MySQL has none for.
const OTHER: u16 = 1105;

impl Ddl<'_> {
    pub(super) async fn create_users(&mut self, users: &[UserClause], if_not_exists: bool) -> Result<(), SqlError> {
        let mut new: Vec<(String, Credential)> = users
            .iter()
            .map(|clause| (self.name_of(&clause.account), clause.credential.clone().unwrap_or_default()))
            .collect();
        if new.iter().any(|(name, _)| name == ROOT) && !if_not_exists {
            return Err(failed("CREATE USER", ROOT, "root is always there; ALTER USER gives it another password"));
        }
        new.retain(|(name, _)| name != ROOT);
        let there = match self.catalog.create_users(&new, if_not_exists).await {
            Err(error @ CatalogError::AlreadyExists { .. }) => {
                let names: Vec<&str> = new.iter().map(|(name, _)| name.as_str()).collect();
                return Err(failed("CREATE USER", &names.join("', '"), &error.to_string()));
            }
            done => done.map_err(|error| of_catalog(&error))?,
        };
        for name in &there {
            self.diagnostics.note(NOTE_EXISTS, format!("Authorization ID '{name}'@'%' already exists."));
        }
        for (name, _) in new.iter().filter(|(name, kept)| *kept == Credential::None && !there.contains(name)) {
            self.diagnostics.warn(
                OTHER,
                format!(
                    "user '{name}' has no password, and may log in only from the server's own machine; ALTER USER '{name}' \
                     IDENTIFIED BY '…' gives it one"
                ),
            );
        }
        Ok(())
    }

    pub(super) async fn alter_users(&mut self, users: &[UserClause], if_exists: bool) -> Result<(), SqlError> {
        let mut changed: Vec<(String, Credential)> = users
            .iter()
            .map(|clause| (self.name_of(&clause.account), clause.credential.clone().unwrap_or_default()))
            .collect();
        let root = changed.iter().position(|(name, _)| name == ROOT).map(|at| changed.remove(at));
        if let Some((_, credential)) = root {
            if self.root_password == RootPassword::OfSettings {
                let why = "its password is that of the server's settings (mysql.root_password or mysql.root_password_file); \
                           change it there, and start the server again";
                return Err(failed("ALTER USER", ROOT, why));
            }
            if !changed.is_empty() {
                return Err(failed("ALTER USER", ROOT, "alter root in a statement of its own"));
            }
            return self.catalog.set_user(ROOT, &credential).await.map_err(|error| of_catalog(&error));
        }
        let missing = match self.catalog.alter_users(&changed, if_exists).await {
            Err(CatalogError::NotFound { what }) => return Err(missing("ALTER USER", &changed, &what)),
            done => done.map_err(|error| of_catalog(&error))?,
        };
        self.note_missing(&missing);
        Ok(())
    }

    pub(super) async fn drop_users(&mut self, users: &[Account], if_exists: bool) -> Result<(), SqlError> {
        let names: Vec<String> = users.iter().map(|account| self.name_of(account)).collect();
        if names.iter().any(|name| name == ROOT) {
            return Err(failed("DROP USER", ROOT, "root is always there"));
        }
        let missing_users = match self.catalog.drop_users(&names, if_exists).await {
            Err(CatalogError::NotFound { what }) => {
                let named: Vec<(String, Credential)> = names.into_iter().map(|name| (name, Credential::None)).collect();
                return Err(missing("DROP USER", &named, &what));
            }
            done => done.map_err(|error| of_catalog(&error))?,
        };
        self.note_missing(&missing_users);
        Ok(())
    }

    fn name_of(&self, account: &Account) -> String {
        match account {
            Account::Current => self.user.to_owned(),
            Account::Named(name) => name.clone(),
        }
    }

    fn note_missing(&mut self, names: &[String]) {
        for name in names {
            self.diagnostics.note(NOTE_MISSING, format!("Authorization ID '{name}'@'%' does not exist."));
        }
    }
}

fn missing(operation: &str, users: &[(String, Credential)], what: &str) -> SqlError {
    let names: Vec<&str> = users.iter().map(|(name, _)| name.as_str()).collect();
    failed(operation, &names.join("', '"), &format!("there is no {what}"))
}

/// 1396, and why.
fn failed(operation: &str, names: &str, why: &str) -> SqlError {
    SqlError::new(CANNOT_USER, format!("Operation {operation} failed for '{names}': {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::fakes::Front;

    #[tokio::test]
    async fn users_are_made_shown_changed_and_dropped_and_no_password_is_seen() {
        let front = Front::new().await;
        let mut client = front.session(1, None).await;
        assert_eq!(client.ask("CREATE USER app IDENTIFIED BY 'hunter2', 'ro'@'%'").await.warnings, 1);
        let warning = client.ask("SHOW WARNINGS").await.rows.remove(0);
        assert!(warning[2].starts_with("user 'ro' has no password"), "{warning:?}");
        let listed = "SELECT user, host, plugin, has_password FROM system.users";
        assert_eq!(
            client.ask(listed).await.rows,
            [
                ["app", "%", "caching_sha2_password", "YES"],
                ["ro", "%", "caching_sha2_password", "NO"],
                ["root", "%", "caching_sha2_password", "NO"]
            ]
        );
        client.ask("ALTER USER ro IDENTIFIED WITH mysql_native_password BY 'x'").await;
        assert_eq!(
            client.row("SELECT plugin, has_password FROM system.users WHERE user = 'ro'").await,
            ["mysql_native_password", "YES"]
        );
        assert_eq!(client.fail("CREATE USER app").await.0, 1396);
        assert_eq!(client.ask("CREATE USER IF NOT EXISTS app IDENTIFIED BY 'x'").await.warnings, 1);
        assert_eq!(
            client.fail("ALTER USER ap IDENTIFIED BY 'hunter2'").await,
            (1396, "Operation ALTER USER failed for 'ap': there is no user `ap`; did you mean `app`?".to_owned())
        );
        assert_eq!(
            client.row("SHOW GRANTS FOR app").await,
            ["GRANT ALL PRIVILEGES ON *.* TO `app`@`%` WITH GRANT OPTION"]
        );
        assert_eq!(client.row("SHOW GRANTS").await, ["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION"]);
        assert_eq!(client.fail("SHOW GRANTS FOR nobody").await.0, 1141);
        client.ask("DROP USER app, ro").await;
        assert_eq!(client.fail("DROP USER app").await.0, 1396);
        assert_eq!(client.ask("DROP USER IF EXISTS app").await.warnings, 1);
        assert_eq!(client.fail("DROP USER root").await.0, 1396);
        assert_eq!(client.fail("CREATE USER root").await.0, 1396);
        client.ask("SET PASSWORD = 'kept'").await;
        assert_eq!(client.column("SHOW USERS LIKE 'root'").await, ["root"]);
        assert_eq!(client.row("SELECT has_password FROM system.users WHERE user = 'root'").await, ["YES"]);
        assert_eq!(client.fail("ALTER USER app IDENTIFIED BY 'hunter2' x").await.0, 1064);
        let errors = client.ask("SHOW ERRORS").await;
        assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
    }

    #[tokio::test]
    async fn the_process_list_hides_passwords() {
        let front = Front::new().await;
        let mut client = front.session(1, None).await;
        let id = client
            .session
            .prepare("SELECT INFO, 'hunter2' AS password FROM information_schema.processlist")
            .await
            .unwrap()
            .id;
        let rows = client.execute_id(id, Vec::new()).await.unwrap().rows;
        assert_eq!(rows[0][0], "SELECT INFO, '***' AS password FROM information_schema.processlist");
    }
}
