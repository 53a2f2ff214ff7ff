-- The command that creates each schema that is named and not there.
SELECT format('CREATE SCHEMA %I', s.name)
FROM unnest($1::text[]) AS s (name)
WHERE to_regnamespace(quote_ident(s.name)) IS NULL
