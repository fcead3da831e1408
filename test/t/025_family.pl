# test/t/025_family.pl - models of the architectures that gpt_import knows give the logits and the texts of
# Transformers, and exported files are what was imported. test/reference/family.py made them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use JSON::PP;
use List::Util qw(max);
use Test::More;

my $TOLERANCE = 1e-4; # of logits
my $fixtures = "$FindBin::RealBin/../fixtures/family";
my $node = start_node('family', 1);

sub text_of
{
	my ($file) = @_;

	open(my $handle, '<:raw', $file) or die "$file: $!";
	local $/;
	return scalar <$handle>;
}

# Logarithms of the probabilities of all tokens.
sub log_softmax
{
	my @logits = @{ $_[0] };
	my $most = max(@logits);
	my $sum = 0;

	$sum += exp($_ - $most) for @logits;
	return map { $_ - $most - log($sum) } @logits;
}

sub import_model
{
	my ($model, $folder) = @_;

	return $node->safe_psql('postgres', qq{\\set ON_ERROR_STOP on
\\set config `cat '$folder/config.json'`
\\set tokenizer `cat '$folder/tokenizer.json'`
\\lo_import '$folder/model.safetensors'
SELECT gpt_import('$model', :LASTOID, jsonb_build_object('config', :'config', 'tokenizer', :'tokenizer'));
SELECT gpt_set_image_type('$model', 'float32');
SELECT lo_unlink(:LASTOID)});
}

sub sql_text
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

# The same bytes come back from both formats; llama.cpp does not have all architectures.
my %not_in_gguf = map { $_ => 1 } qw(gemma2 gemma3 gemma3-4b gpt-neo mistral);
sub export_model
{
	my ($model, $text) = @_;
	# A large object is seen by the statement after the one that makes it.
	my $same = q{SELECT gpt_export('%s') AS one, gpt_export('%s') AS other \gset
SELECT md5(lo_get(:one)) = md5(lo_get(:other)), gpt_score('%1$s', %s) = gpt_score('%2$s', %3$s)};
	my $tokenizer = "jsonb_build_object('tokenizer', gpt_export_tokenizer('$model'))";

	$node->safe_psql('postgres', "SELECT gpt_import('again', gpt_export('$model'), $tokenizer)");
	$node->safe_psql('postgres', "SELECT gpt_set_image_type('again', 'float32')");
	is($node->safe_psql('postgres', sprintf($same, $model, 'again', $text)), 't|t', "$model is the same after an export as safetensors");
	$node->safe_psql('postgres', "SELECT gpt_drop_model('again')");
	like($node->safe_psql('postgres', "SELECT gpt_export_file('$model', 'config.json')"), qr/"model_type": "/, "$model has a config.json");
	my ($status, $out, $error) = $node->psql('postgres', "SELECT gpt_import('again', gpt_export('$model', 'gguf'))");
	if ($not_in_gguf{$model})
	{
		like($error, qr/ERROR:  (llama.cpp has no architecture|GGUF file is outside)/, "llama.cpp does not have $model");
		return;
	}
	$node->safe_psql('postgres', "SELECT gpt_set_image_type('again', 'float32')");
	is($node->safe_psql('postgres', "SELECT abs(gpt_score('$model', $text, 'mean_logprob') - gpt_score('again', $text, 'mean_logprob')) < 1e-6"),
		't', "$model scores the same after an export as GGUF");
	$node->safe_psql('postgres', "SELECT gpt_drop_model('again')");
}

# A fine-tune by a step of no length, of all weights and for some of an adapter: the score stays, so its shape is that
# of the base.
my %with_adapter = map { $_ => 1 } qw(gemma3 pythia qwen2);
sub finetune_model
{
	my ($model, $text) = @_;

	for my $method ($with_adapter{$model} ? qw(full lora) : 'full')
	{
		$node->safe_psql('postgres', qq{SELECT gpt_finetune('$model', 'SELECT body FROM line WHERE id <= 20', '{"method": "$method", "steps": 1, "learning_rate": 1e-12,
	"warmup_steps": 0, "weight_decay": 0, "batch_size": 1, "validation_fraction": 0, "into": "tuned"}') AS job \\gset
SELECT gpt_wait(:job, '300 s')});
		$node->safe_psql('postgres', "SELECT gpt_set_image_type('tuned', 'float32')") if $method eq 'full';
		is($node->safe_psql('postgres', "SELECT abs(gpt_score('$model', $text, 'mean_logprob') - gpt_score('tuned', $text, 'mean_logprob')) < 1e-5"),
			't', "$model keeps its score in a fine-tune of no length ($method)");
		$node->safe_psql('postgres', "SELECT gpt_drop_model('tuned')");
	}
}

my @folders = sort glob("$fixtures/*");
cmp_ok(scalar(@folders), '>=', 20, 'there are models of all shapes');
for my $folder (@folders)
{
	my ($model) = $folder =~ m{([^/]+)$};
	my $reference = decode_json(text_of("$folder/reference.json"));
	my $pieces = decode_json(text_of("$folder/tokenizer.json"))->{model}{vocab};
	my @expected = log_softmax($reference->{logits});
	my $text = sql_text($reference->{text});

	like(import_model($model, $folder), qr/^\d*1\b/m, "$model is imported");
	my $logprob = $node->safe_psql('postgres', "SELECT gpt_score('$model', $text, 'mean_logprob')");
	cmp_ok(abs($logprob + $reference->{mean_nll}), '<', $TOLERANCE, "$model scores a text as the reference does");

	# The completion is one token each: the logits up to a constant.
	my @tokens = grep { $_ ne '<|endoftext|>' } sort keys %$pieces;
	my $list = join(', ', map { my $piece = $_; $piece =~ s/\x{2581}/ /g; '(' . $pieces->{$_} . ', ' . sql_text($piece) . ')' } @tokens);
	my %found = map { split(/\|/, $_) } split(/\n/, $node->safe_psql('postgres',
		"SELECT id, gpt_logprob('$model', $text, piece, false) FROM (VALUES $list) p (id, piece)"));
	is(scalar(keys %found), scalar(@tokens), "$model gives each token a probability");
	cmp_ok(max(map { abs($found{$_} - $expected[$_]) } keys %found), '<', $TOLERANCE, "$model has the logits of the reference");
	is($node->safe_psql('postgres', "SELECT gpt_generate('$model', $text, max_tokens => 100, temperature => 0)"),
		$reference->{greedy}, "$model generates the text of the reference");
	export_model($model, $text);
	finetune_model($model, $text);
}
done_testing();
