//! Budgets for sending mail, counted in the ticket store so that all copies share them. (to come)
