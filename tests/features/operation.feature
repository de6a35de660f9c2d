Feature: Running it
  Changes by operators take effect at once, failures are reported, and nothing is lost.

  Scenario: The second API opens and closes on the running service without a dropped request
    Given a service of its own
    Then the second API answers 404
    When "api.v2_enabled" is set to "true" while requests are made
    Then the second API answers something else
    When "api.v2_enabled" is set to "false" while requests are made
    Then the second API answers 404
    And no request was dropped

  Scenario: A key that only looks like the switch opens nothing
    Given a service of its own
    When "api.v2_enabled_x" is set to "true" and the service has read it
    Then the second API answers 404
    And the log says that the new configuration is refused

  Scenario: A bad file is refused and the old one stays
    Given a service of its own
    When "api.v2_enabled" is set to "true" and the service has read it
    And the file is broken and the service has read it
    Then the second API answers something else
    And the log says that the new configuration is refused

  Scenario: It is alive and ready
    Then every copy is alive and ready

  @A3
  Scenario: The mail server is away: people are answered at once, the email comes later
    Given a service whose mail server is away
    When an email is asked for on the laptop
    Then the answer took less than 8 seconds
    When the mail server is back
    Then an email arrives within 30 seconds
    When the link is used on the laptop
    Then the laptop is signed in

  @X10
  Scenario: A stop lets requests under way finish
    Given a service of its own
    When it is asked to stop while requests are made
    Then it ends well within 10 seconds

  @F3
  Scenario: A full sign-in at the finest log level leaks nothing
    Given a service of its own that logs everything
    When an email is asked for on the laptop
    And the link is opened on the laptop
    And the code is typed on the laptop
    Then the laptop is signed in
    And no log line holds the link, the code, a cookie or the address
    And no stored file holds the link, the code or a cookie

  @servers @X3
  Scenario: The database goes away and comes back
    Given a service with a database server of its own
    And the person signed in on the laptop
    When the database server is killed
    Then every copy is alive but not ready
    When the database server is back
    Then every copy is alive and ready
    And the laptop is signed in

  @servers @X5
  Scenario: The ticket store goes away and comes back
    Given a service with a ticket store of its own
    And the person signed in on the laptop
    When the ticket store is killed
    Then asking for an email is answered 503 with a time to come back
    And every copy is alive
    When the ticket store is back
    Then asking for an email works again
