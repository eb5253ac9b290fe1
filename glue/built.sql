CREATE EXTERNAL TABLE meterlake.built
LOCATION 's3://LAKE/tables/built/'
TBLPROPERTIES ('table_type' = 'DELTA');
