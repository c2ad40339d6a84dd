//! Accounts, tokens and the authorisation code.

use protocol::ids::Hash;

use super::*;

contract!(
    an_account_is_added_once_changed_and_removed,
    another_password_is_another_generation_and_another_role_is_not,
    a_token_is_found_by_its_secret_until_it_is_revoked_or_expires,
    names_that_cannot_be_are_refused_and_change_nothing,
    a_code_locks_everybody_who_has_not_given_it_of_late,
    a_code_that_changes_or_goes_takes_what_was_unlocked_with_it,
);

fn add(world: &mut World, name: &str) -> Result<(), StoreError> {
    world.try_job(|batch| batch.add_account(name, AccountRole::Viewer, "hash"))
}

fn account(world: &mut World, name: &str) -> Option<Account> {
    world.store.reading().account(name).unwrap()
}

fn an_account_is_added_once_changed_and_removed(world: &mut World) {
    add(world, "ann").unwrap();
    assert_eq!(code(add(world, "ann")), "account_name_taken");
    add(world, "Bob").unwrap();
    let disabled = AccountEdit { is_disabled: Some(true), ..AccountEdit::default() };
    world.job(|batch| batch.edit_account("ann", &disabled));

    let names: Vec<_> =
        world.store.reading().accounts().unwrap().into_iter().map(|each| (each.name, each.is_disabled)).collect();
    assert_eq!(names, [("Bob".to_owned(), false), ("ann".to_owned(), true)]);
    world.job(|batch| batch.remove_account("ann"));
    assert_eq!(account(world, "ann"), None);
    assert_eq!(code(world.try_job(|batch| batch.remove_account("ann"))), "unknown_account");
    assert_eq!(code(world.try_job(|batch| batch.edit_account("ann", &AccountEdit::default()))), "unknown_account");
}

fn another_password_is_another_generation_and_another_role_is_not(world: &mut World) {
    add(world, "ann").unwrap();
    let before = account(world, "ann").unwrap();
    let role = AccountEdit { role: Some(AccountRole::Administrator), ..AccountEdit::default() };
    world.job(|batch| batch.edit_account("ann", &role));
    let promoted = Account { role: AccountRole::Administrator, ..before };
    assert_eq!(account(world, "ann").as_ref(), Some(&promoted));

    let password = AccountEdit { password_hash: Some("other".to_owned()), ..AccountEdit::default() };
    world.job(|batch| batch.edit_account("ann", &password));

    let expected = Account { password_hash: "other".to_owned(), generation: 2, ..promoted };
    assert_eq!(account(world, "ann"), Some(expected));
}

fn a_token_is_found_by_its_secret_until_it_is_revoked_or_expires(world: &mut World) {
    let secret = Hash([7; 32]);
    world.job(|batch| batch.add_api_token("backup", AccountRole::Viewer, &secret, Some(5000)));
    let again = world.try_job(|batch| batch.add_api_token("backup", AccountRole::Viewer, &Hash([8; 32]), None));
    assert_eq!(code(again), "token_name_taken");

    let found = world.store.reading().api_token_of(&secret).unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.counts_at(4999), found.counts_at(5000)), ("backup", true, false));
    assert_eq!(world.store.reading().api_token_of(&Hash([8; 32])).unwrap(), None);
    world.job(|batch| batch.revoke_api_token("backup"));
    assert_eq!(world.store.reading().api_token_of(&secret).unwrap(), None);
    assert_eq!(code(world.try_job(|batch| batch.revoke_api_token("backup"))), "unknown_token");
}

fn names_that_cannot_be_are_refused_and_change_nothing(world: &mut World) {
    for name in ["", "a\nb", "a\0", &"x".repeat(SITE_NAME_BYTES_MAX + 1)] {
        assert_eq!(code(add(world, name)), "account_name", "{name:?}");
        let token = world.try_job(|batch| batch.add_api_token(name, AccountRole::Viewer, &Hash([7; 32]), None));
        assert_eq!(code(token), "token_name", "{name:?}");
    }
    add(world, &"x".repeat(SITE_NAME_BYTES_MAX)).unwrap();
    assert_eq!(world.store.reading().accounts().unwrap().len(), 1);
    assert_eq!(world.store.reading().api_tokens().unwrap(), []);
}

fn is_open(world: &mut World, actor: &str) -> bool {
    match world.try_job(|batch| batch.check_unlocked(actor)) {
        Ok(()) => true,
        refused => code(refused) != "locked",
    }
}

fn a_code_locks_everybody_who_has_not_given_it_of_late(world: &mut World) {
    assert!(is_open(world, "local:ann"), "without a code nothing is locked");
    world.job(|batch| batch.set_authorisation_code(Some("hash")));
    assert!(!is_open(world, "local:ann"));

    assert_eq!(world.job(|batch| batch.unlock("local:ann", "hash", 500)), 1500);
    assert_eq!((is_open(world, "local:ann"), is_open(world, "local:bob")), (true, false));
    world.now_ms = 1499;
    assert!(is_open(world, "local:ann"));
    for now_ms in [1500, 999] {
        world.now_ms = now_ms;
        assert!(!is_open(world, "local:ann"), "a clock that is set back opens nothing for longer ({now_ms})");
    }
    world.now_ms = 1001;
    assert!(is_open(world, "local:ann"));
    world.job(|batch| batch.lock("local:ann"));
    assert!(!is_open(world, "local:ann"));
}

fn a_code_that_changes_or_goes_takes_what_was_unlocked_with_it(world: &mut World) {
    world.job(|batch| batch.set_authorisation_code(Some("hash")));
    world.job(|batch| batch.unlock("local:ann", "hash", 500));
    world.job(|batch| batch.set_authorisation_code(Some("other")));
    assert!(!is_open(world, "local:ann"));
    let late = world.try_job(|batch| batch.unlock("local:ann", "hash", 500));
    assert_eq!(code(late), "authorisation_code_changed");

    world.job(|batch| batch.set_authorisation_code(None));
    assert!(is_open(world, "local:ann"));
    assert_eq!(code(world.try_job(|batch| batch.unlock("local:ann", "other", 500))), "authorisation_code_changed");
}
