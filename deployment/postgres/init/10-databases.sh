#!/bin/sh
# One role and one database for each part of the platform, made when the volume is new. No role can enter another's.
set -eu

role_with_database() { # role and database, name of the variable with its password
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set role="$1" --username "$POSTGRES_USER" --dbname postgres <<SQL
\getenv password $2
create role :"role" login password :'password';
-- whatever the server's own locale: without an encoding, clients get bytes for text
create database :"role" owner :"role" encoding 'UTF8' template template0;
revoke all on database :"role" from public;
SQL
}

role_with_database airflow AIRFLOW_DB_PASSWORD
role_with_database mlflow MLFLOW_DB_PASSWORD
role_with_database feast FEAST_DB_PASSWORD
role_with_database source SOURCE_DB_PASSWORD
