-- Changes how the database matches URIs, with all rows; $1 0 or 1. Returns how many rows it changed.
SELECT presence_change_uri_match($1::smallint)
