# test/t/026_import.pl - scripts/gpt-import brings folders in as Hugging Face ships them. 025_family.pl has all
# architectures.
use strict;
use warnings;

use Cwd;
use FindBin;
use lib $FindBin::RealBin;
use File::Copy;
use File::Path qw(make_path);
use GptTest;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $script = "$FindBin::RealBin/../../scripts/gpt-import";
my $node = start_node('import', 1);
my $folder = PostgreSQL::Test::Utils::tempdir();

sub content { open my $file, '<:raw', $_[0] or die "$_[0]: $!"; local $/; return <$file>; }
sub json { return decode_json(content($_[0])); }
# a character for each token, so that a text says which tokens it has
sub letters { return join '', map { chr(0x4e00 + $_) } @_; }
sub query { return $node->safe_psql('postgres', $_[0]); }

# The files of a model, with a tokenizer of such characters.
sub prepare
{
	my ($source, $name) = @_;
	my $target = "$folder/$name";
	my %vocabulary = map { (letters($_), $_) } 0 .. json("$source/config.json")->{vocab_size} - 1;

	make_path($target);
	copy("$source/$_", "$target/$_") or die "$source/$_: $!" for qw(config.json model.safetensors generation_config.json);
	append_to_file("$target/tokenizer.json", JSON::PP->new->utf8->encode({ added_tokens => [], decoder => { type => 'Fuse' },
		pre_tokenizer => { type => 'Split', pattern => { Regex => '[\s\S]' }, behavior => 'Isolated', invert => JSON::PP::false },
		model => { type => 'WordLevel', unk_token => '<|unknown|>', vocab => \%vocabulary } }));
	append_to_file("$target/README.md", "---\nlanguage: en\nlicense: apache-2.0\n---\nlicense: none\n");
	return $target;
}

sub import_model
{
	my ($source, $model) = @_;

	return command_ok([ $script, $source, $model, '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-qAt' ], "$model is imported");
}

for my $name (qw(gpt2 gemma3 llama2 llama3 pythia smollm3))
{
	my $source = "$FindBin::RealBin/../fixtures/family/$name";
	my $reference = json("$source/reference.json");
	my @ids = @{ $reference->{ids} };
	my %piece = reverse %{ json("$source/tokenizer.json")->{model}{vocab} };

	import_model(prepare($source, $name), $name);
	query("SELECT gpt_set_image_type('$name', 'float32')");
	my ($loss, $text) = split /\|/, query("SELECT -gpt_score('$name', '" . letters_utf8(@ids) . "', 'mean_logprob'),
		gpt_generate('$name', '" . letters_utf8(@ids) . "', 100, temperature => 0)");
	cmp_ok(abs($loss - $reference->{mean_nll}), '<', 1e-5, "$name: the loss is that of Transformers");
	utf8::decode($text);
	my $greedy = join '', map { $piece{ ord($_) - 0x4e00 } // '?' } split //, $text;
	$greedy =~ s/[\x{120}\x{2581}]/ /g;
	is($greedy, $reference->{greedy}, "$name: so is the greedy text");
}
sub letters_utf8 { my $text = letters(@_); utf8::encode($text); return $text; }

is(query("SELECT config->'source' FROM gpt_version WHERE model = 'llama3'"),
	'{"name": "llama3", "format": "safetensors", "licence": "apache-2.0", "quantization": "F32"}', 'the row says where a model came from');
is(query("SELECT string_agg(architecture, ' ' ORDER BY model) FROM gpt_models WHERE model IN ('gpt2', 'pythia', 'smollm3', 'gemma3')"), 'gemma3_text gpt2 gpt_neox smollm3',
	'the view shows architectures by the names of Transformers');
is(query("SELECT count(*) FROM pg_largeobject_metadata m WHERE NOT EXISTS (SELECT FROM gpt_version v WHERE v.weights = m.oid) AND
	NOT EXISTS (SELECT FROM gpt_tokenizer t WHERE t.object = m.oid)"), 0, 'the script leaves no file behind');

# the same in bfloat16, whose matrices are parts, by head, or of norms that lack 1: scores and adapters are those of the
# same values in float32, and what a merge gives is the adapter
sub adapter_of
{
	my ($model) = @_;
	my $job = query(qq{SELECT gpt_finetune('$model', 'SELECT body FROM row', '{"method": "lora", "rank": 2, "steps": 2, "batch_size": 2,
		"learning_rate": 0.01, "warmup_steps": 0, "validation_fraction": 0, "into": "$model adapter"}')});

	query("SELECT gpt_wait($job)");
	query("SELECT gpt_set_image_type('$model adapter', 'float32')");
	return query("SELECT conditions->>'base_type' FROM gpt_jobs WHERE job = $job");
}
query("CREATE TABLE row (body text)");
for my $name ('llama3', 'pythia', 'gemma3')
{
	my $text = letters_utf8(@{ json("$FindBin::RealBin/../fixtures/family/$name/reference.json")->{ids} });
	my $score = sub { query("SELECT gpt_score('$name $_[0]', '$text')") };

	query("TRUNCATE row; INSERT INTO row SELECT left('$text', 5 + i) FROM generate_series(1, 20) i");
	for (['bfloat16', $name], ['float32', "$name bfloat16"])
	{
		my ($type, $from) = @$_;
		query(qq{SELECT gpt_import('$name $type', weights, '{"tokenizer": "$name", "type": "$type"}') FROM gpt_models WHERE model = '$from'});
		query("SELECT gpt_set_image_type('$name $type', 'float32')");
	}
	is($score->('bfloat16'), $score->('float32'), "$name: bfloat16 is read as what it is");
	is(adapter_of("$name bfloat16") . adapter_of("$name float32"), 'bfloat16', "$name: a base stays in memory as bfloat16");
	my $learnt = $score->('bfloat16 adapter');
	isnt($learnt, $score->('bfloat16'), "$name: an adapter learns");
	is($learnt, $score->('float32 adapter'), "$name: the same as on a base in float32");
	query("SELECT gpt_merge('$name bfloat16 adapter')");
	cmp_ok(abs($score->('bfloat16 adapter') / $learnt - 1), '<', 1e-5, "$name: and is folded in");
}

# quotes and backslashes; a model that exists
my $odd = qq{$folder/it's "a\\b" folder};
rename "$folder/llama2", $odd or die $!;
import_model($odd, q{it's "odd"});
import_model($odd, q{it's "odd"});
is(query(q{SELECT max(version) FROM gpt_versions WHERE model = 'it''s "odd"'}), 2, 'a further import is a further version');

# Gemma 3 as a model with a place for images has the text model inside
my $inside = "$folder/inside";
make_path($inside);
copy("$folder/gemma3/tokenizer.json", $inside) or die $!;
my $weights = content("$folder/gemma3/model.safetensors");
my $size = unpack 'Q<', $weights;
my $header = decode_json(substr $weights, 8, $size);
my %renamed = map { my $new = $_; $new =~ s/^model\./model.language_model./; ($new, $header->{$_}) } keys %$header;
my $text = encode_json(\%renamed);
append_to_file("$inside/model.safetensors", pack('Q<', length $text) . $text . substr($weights, 8 + $size));
append_to_file("$inside/config.json", encode_json({ model_type => 'gemma3', text_config => json("$folder/gemma3/config.json") }));
import_model($inside, 'inside');
my $sample = letters_utf8(5 .. 30);
query("SELECT gpt_set_image_type('inside', 'float32')");
is(query("SELECT gpt_score('inside', '$sample') = gpt_score('gemma3', '$sample')"), 't', 'and computes the same');

# what fails leaves nothing
unlink "$odd/config.json";
command_fails_like([ $script, $odd, 'none', '-h', $node->host, '-p', $node->port, '-d', 'postgres' ], qr/the configuration of the model is missing/,
	'a folder without config.json');
unlink "$odd/model.safetensors";
command_fails_like([ $script, $odd, 'none', '-d', 'postgres' ], qr/has no model\*\.safetensors and no \.gguf file/, 'a folder without a model');
command_fails_like([ $script, "$folder/none", 'none' ], qr/does not exist/, 'a folder that does not exist');
command_fails_like([ $script, $folder ], qr/gpt-import DIRECTORY\|FILE MODEL/, 'too few arguments');
is(query(q{SELECT count(*) FROM gpt_models WHERE model = 'none'}), 0, 'make no model');
is(query(q{SELECT count(*) FROM gpt_check(true)}), 0, 'and everything is consistent');

# a file beside its texts; names that basename, psql and awk would take for something else
my $here = getcwd();
chdir $folder or die $!;
import_model('inside/model.safetensors', 'beside');
make_path('-a=b');
copy("inside/$_", "-a=b/$_") or die $! for qw(config.json model.safetensors tokenizer.json);
import_model('-a=b', 'dash');
chdir $here or die $!;
is(query("SELECT gpt_score('beside', '$sample') = gpt_score('dash', '$sample')"), 't', 'a file is imported with the texts beside it');
make_path("$folder/adapter");
append_to_file("$folder/adapter/adapter_model.safetensors", '');
command_fails_like([ $script, "$folder/adapter", 'none', '-d', 'postgres' ], qr/has an adapter, which gpt does not import/, 'an adapter of PEFT');

# out again: a GGUF file has the chat template and the token that ends a turn
$ENV{OPTIONS} = '{"chat_template": "chatml", "generation_config": {"eos_token_id": [0, 5]}}';
import_model("$FindBin::RealBin/../fixtures/family/smollm2", 'talker');
delete $ENV{OPTIONS};
query(q{SELECT gpt_import('talker again', gpt_export('talker', 'gguf'))});
is(query(q{SELECT gpt_chat_template('talker again') = gpt_chat_template('talker')}), 't', 'GGUF keeps the chat template');
is(query(q{SELECT config->'end_tokens' FROM gpt_version WHERE model = 'talker again'}), '[0, 5]', 'and the end of a turn');

# the script that exports: names that psql would run or expand, and errors, which leave nothing
my $export = "$FindBin::RealBin/../../scripts/gpt-export";
my @server = ('-h', $node->host, '-p', $node->port, '-d', 'postgres');
chdir $folder or die $!;
command_ok([ $export, 'talker', '|touch ran', @server ], 'a folder whose name begins with a bar');
ok(-f '|touch ran/config.json' && -f '|touch ran/model.safetensors' && !-e 'ran', 'is a folder, not a command');
command_ok([ $export, 'talker', '-x.gguf', @server ], 'a file whose name begins with a dash');
command_fails_like([ $export, 'nobody', 'nothing', @server ], qr/model "nobody" does not exist/, 'a model that does not exist');
ok(!-e 'nothing', 'makes no folder');
chdir $here or die $!;
is(query("SELECT count(*) FROM pg_largeobject_metadata m WHERE obj_description(oid, 'pg_largeobject') LIKE '% as %'"), 1, 'only the object of gpt_export remains');

# two sessions at once: the second waits for the first, and gets the next version
my $first = $node->background_psql('postgres');
my $object = query("SELECT lo_from_bytea(0, lo_get(weights)) FROM gpt_models WHERE model = 'gpt2'");
my $import = qq{SELECT gpt_import('both', $object, '{"tokenizer": "gpt2"}')};
is($first->query_safe("BEGIN; $import"), 1, 'a session imports');
my $second = $node->background_psql('postgres');
$second->query_until(qr/started/, "\\echo started\n$import;\n");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%gpt_import%' AND wait_event_type = 'Lock'"), 'a second one waits for it');
$first->query_safe('COMMIT');
$first->quit;
is($second->query_safe('SELECT version FROM gpt_models WHERE model = ' . q{'both'}), "2\n2", 'and makes version 2');
$second->quit;

$node->stop;
done_testing();
